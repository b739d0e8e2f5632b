"""Accuracy against speed, layer by layer and size by size."""
from .drawing import BLUE, GREY, INK, VERMILION, new_figure, open_frame


def plot_tuning(tuning, ax=None):
    """Plot the accuracy of what was tried against its speed, and name the picks.

    The finalists, judged on all photographs, have their 95 % interval; of several heads the most
    accurate is shown. Those that a sample was enough for are grey.

    Parameters
    ----------
    tuning : Tuning
        As `tune` returns it.
    ax : matplotlib Axes, optional
        Default: a new figure.

    Returns
    -------
    ax : matplotlib Axes
    """
    from matplotlib.ticker import PercentFormatter

    figure = None
    if ax is None:
        figure, axes = new_figure(1, 1, (7.2, 4.4))
        ax = axes[0, 0]
    judged = _best_heads(tuning.finalists)
    n_judged, n_sample = tuning.trials[0].photographs, tuning.trials[-1].photographs
    places = set((trial.layer, trial.input_size) for trial in judged)
    others = [trial for trial in tuning.trials if (trial.layer, trial.input_size) not in places]
    if others:
        ax.plot([trial.images_per_second for trial in others],
                [trial.accuracy for trial in others], "o", color=GREY, markersize=3.5, alpha=0.7,
                label="judged on {:,} photographs".format(n_sample) if n_sample < n_judged
                else "judged once")
    _draw(ax, judged, BLUE, "judged on all {:,}, 95 % interval".format(n_judged))
    _set_speeds(ax, [trial.images_per_second for trial in judged + others])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    _make_room(ax, [value for trial in judged for value in trial.interval]
               + [trial.accuracy for trial in others])
    _name_picks(ax, tuning)
    ax.set_xlabel("images a second")
    ax.set_ylabel("accuracy, cross-validated")
    ax.set_title("accuracy against speed", fontsize=12, color=INK)
    open_frame(ax)
    ax.legend(frameon=False, fontsize=9, loc="lower left")
    if figure is not None:
        figure.tight_layout()
    return ax


def _best_heads(trials):
    """The first trial of each layer and size, in order."""
    found = {}
    for trial in trials:
        found.setdefault((trial.layer, trial.input_size), trial)
    return [trial for trial in trials
            if found[trial.layer, trial.input_size] is trial]


def _draw(ax, trials, colour, label):
    below = [max(trial.accuracy - trial.interval[0], 0) for trial in trials]
    above = [max(trial.interval[1] - trial.accuracy, 0) for trial in trials]
    ax.errorbar([trial.images_per_second for trial in trials],
                [trial.accuracy for trial in trials], yerr=[below, above], fmt="o", color=colour,
                markersize=6, capsize=3, linewidth=1.4, label=label, zorder=3)


def _set_speeds(ax, speeds):
    """A logarithmic axis with room beside the points and several round numbers, however near to
    each other the speeds are.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    slowest, quickest = min(speeds), max(speeds)
    room = max((quickest / slowest) ** 0.15, 1.1)
    ax.set_xlim(slowest / room, quickest * room)
    ax.set_xscale("log")
    is_wide = quickest * room ** 2 > 4 * slowest
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if is_wide else MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda speed, _: "{:,g}".format(speed)))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _make_room(ax, shares):
    """Limits and ticks of the accuracies, with room for three lines above and a legend below."""
    low, high = min(shares), max(shares)
    span = max(high - low, 0.01)
    bottom = low - 0.35 * span
    ax.set_ylim(bottom, high + 0.42 * span)
    ax.set_yticks([tick for tick in ax.get_yticks() if bottom <= tick <= 1])


def _name_picks(ax, tuning):
    """Write the picks above their points, two for the same point on one line."""
    from ..workbench.trials import PICKS, place

    named = []
    for name in PICKS:
        trial = getattr(tuning, name)
        for other, names in named:
            if (other.layer, other.input_size) == (trial.layer, trial.input_size):
                names.append(name)
                break
        else:
            named.append((trial, [name]))
    named.sort(key=lambda pair: -pair[0].images_per_second)
    slowest, quickest = ax.get_xlim()
    bottom, top = ax.get_ylim()
    # Points that half of the width has, a letter being 0.6 of its size wide.
    room = 0.5 * ax.get_window_extent().width / ax.figure.dpi * 72 / 0.6
    for i, (trial, names) in enumerate(named):
        text = "{}: {}".format(", ".join(names), place(trial))
        is_left = trial.images_per_second ** 2 < slowest * quickest  # in the left half
        ax.annotate(text, (trial.images_per_second, trial.accuracy),
                    xytext=(trial.images_per_second, top - (0.06 + 0.07 * i) * (top - bottom)),
                    ha="left" if is_left else "right", va="center", color=VERMILION,
                    fontsize=min(9, room / len(text)),
                    arrowprops={"arrowstyle": "-", "color": VERMILION, "linewidth": 0.8,
                                "relpos": (0 if is_left else 1, 0)})
