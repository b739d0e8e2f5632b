"""Loss and accuracy, epoch after epoch."""
import collections.abc

import numpy as np

from .drawing import BLUE, GREY, INK, VERMILION, new_figure, open_frame


def plot_history(history, ax=None):
    """Plot loss and accuracy against the epoch, the best epoch marked.

    The best epoch is the one of the smallest validation loss, or training loss
    where there is no validation.

    Parameters
    ----------
    history : dict of str to sequence of float
        As Keras has it: ``loss`` and, each optional, ``val_loss``, ``accuracy``
        and ``val_accuracy``, one value an epoch.
    ax : matplotlib Axes, or two of them, optional
        One is for the loss, a second for the accuracy. Default: a new figure.

    Returns
    -------
    axes : matplotlib Axes or ndarray of Axes
        `ax` if given, else the axes of loss and, where it is known, accuracy.

    Raises
    ------
    ValueError
        There is no ``loss`` in the history, or no epoch.
    """
    if not isinstance(history, collections.abc.Mapping):
        raise TypeError("history must be a dict such as a classifier's history_, not {!r}".format(
            history))
    loss = np.asarray(history.get("loss", ()), dtype=float)
    if loss.size == 0:
        raise ValueError("the history needs a 'loss' with at least one epoch; it has {}".format(
            sorted(history) or "nothing"))
    measures = ["loss"] + (["accuracy"] if "accuracy" in history else [])
    if ax is None:
        figure, drawn = new_figure(1, len(measures), (4.8 * len(measures), 3.6))
        drawn = drawn.ravel()
    else:
        figure, drawn = None, np.ravel(ax)
    followed = np.asarray(history.get("val_loss", loss), dtype=float)
    best = None if np.isnan(followed).all() else int(np.nanargmin(followed))
    for axes, measure in zip(drawn, measures):
        _plot_measure(axes, history, measure, best)
    if figure is None:
        return ax
    figure.tight_layout()
    return drawn


def _plot_measure(ax, history, measure, best):
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    curves = [("training", measure, BLUE, "-")]
    if "val_" + measure in history:
        curves.append(("validation", "val_" + measure, VERMILION, "--"))
    for label, key, colour, line in curves:
        values = np.asarray(history[key], dtype=float)
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, line, color=colour, linewidth=2, label=label,
                marker="o" if len(values) < 3 else None)
    if best is not None and best < len(values):
        text = "{:.1%}" if measure == "accuracy" else "{:.3g}"
        ax.axvline(best + 1, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
        ax.plot([best + 1], [values[best]], marker="o", markersize=8, linestyle="none",
                markerfacecolor="white", markeredgecolor=colour, markeredgewidth=2,
                label="best epoch {}: {}".format(best + 1, text.format(values[best])))
    if measure == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlim(0.5, len(values) + 0.5)
    ax.set_xlabel("epoch")
    ax.set_title(measure, fontsize=12, color=INK)
    open_frame(ax)
    ax.legend(frameon=False, fontsize=9)
