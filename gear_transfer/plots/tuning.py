"""Accuracy against speed, layer by layer and size by size."""
from .drawing import BLUE, GREY, INK, VERMILION, new_figure, open_frame


def plot_tuning(tuning, ax=None):
    """Plot the accuracy of what was tried against its speed, and name the picks.

    Those judged on all photographs have their 95 % interval; of several heads the most accurate is
    shown. Those that a sample was enough for are grey.

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
    from matplotlib.ticker import NullFormatter, PercentFormatter, ScalarFormatter

    figure = None
    if ax is None:
        figure, axes = new_figure(1, 1, (7.2, 4.4))
        ax = axes[0, 0]
    judged = _best_heads(tuning.judged)
    n_judged, n_sample = tuning.trials[0].photographs, tuning.trials[-1].photographs
    others = tuning.trials[len(tuning.judged):]
    if others:
        ax.plot([trial.images_per_second for trial in others],
                [trial.accuracy for trial in others], "o", color=GREY, markersize=3.5, alpha=0.7,
                label="judged on {:,} photographs".format(n_sample))
    _draw(ax, judged, BLUE, "judged on all {:,}, 95 % interval".format(n_judged))
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.margins(x=0.15)
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


def _make_room(ax, shares):
    """Limits and ticks of the accuracies, with room for three lines above them."""
    low, high = min(shares), max(shares)
    span = max(high - low, 0.01)
    ax.set_ylim(low - 0.08 * span, high + 0.38 * span)
    ax.set_yticks([tick for tick in ax.get_yticks() if low - 0.08 * span <= tick <= 1])


def _name_picks(ax, tuning):
    """Write the picks above their points, two for the same point on one line."""
    from ..trials import PICKS, place

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
    for i, (trial, names) in enumerate(named):
        is_left = trial.images_per_second ** 4 < slowest ** 3 * quickest  # in the left quarter
        ax.annotate("{}: {}".format(", ".join(names), place(trial)),
                    (trial.images_per_second, trial.accuracy),
                    xytext=(trial.images_per_second, top - (0.06 + 0.07 * i) * (top - bottom)),
                    ha="left" if is_left else "right", va="center", fontsize=9, color=VERMILION,
                    arrowprops={"arrowstyle": "-", "color": VERMILION, "linewidth": 0.8,
                                "relpos": (0 if is_left else 1, 0)})
