"""Accuracy against the number of photographs."""
from .drawing import BLUE, GREY, INK, VERMILION, new_figure, open_frame


def plot_learning_curve(curve, label=None, ax=None):
    """Plot the accuracy that is reached by training on more and more photographs.

    Parameters
    ----------
    curve : LearningCurve
        As `learning_curve` returns it.
    label : optional
        A class whose recall is plotted. Default: the accuracy of all.
    ax : matplotlib Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ValueError
        There is no such class.
    """
    from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

    accuracies, (low, high) = curve.accuracies(label), curve.intervals(label).T
    sizes = curve.sizes.tolist()
    figure = None
    if ax is None:
        figure, axes = new_figure(1, 1, (5.6, 3.8))
        ax = axes[0, 0]
    ax.fill_between(sizes, low, high, color=BLUE, alpha=0.2, linewidth=0, label="95 % interval")
    ax.plot(sizes, accuracies, "o-", color=BLUE, linewidth=2,
            label="accuracy" if label is None else "recall of {}".format(label))
    ax.plot([sizes[-1], 2 * sizes[-1]], [accuracies[-1], curve.expected(label)], linestyle=":",
            color=GREY)
    ax.plot([2 * sizes[-1]], [curve.expected(label)], "o", markerfacecolor="white",
            markeredgecolor=VERMILION, markeredgewidth=2, label="expected of twice as many")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sizes + [2 * sizes[-1]]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels(["{:,}".format(size) for size in sizes + [2 * sizes[-1]]])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("photographs trained on")
    ax.set_title("more photographs {}".format(curve.outlook(label)), fontsize=12, color=INK)
    open_frame(ax)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    if figure is not None:
        figure.tight_layout()
    return ax
