"""Accuracy against the number of photographs."""
import math

import numpy as np

from ..common.arguments import check_whole_number
from .drawing import BLUE, GREY, INK, VERMILION, new_figure, open_frame, set_title

_PANEL_INCHES = (2.4, 1.85)
_FOOT_INCHES = 0.5  # a line for what is counted, one for the legend
_MOST_CLASSES = 100
_MOST_OF_A_NAME = 26
_MOST_OF_A_SIZE = 5  # letters, that five sizes fit side by side


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
    curve.accuracies(label)  # an unknown class is an error before there is a figure
    figure = None
    if ax is None:
        figure, axes = new_figure(1, 1, (5.6, 3.8))
        ax = axes[0, 0]
    _draw(ax, curve, label, 2.0, "accuracy" if label is None else "recall of {}".format(label))
    ax.set_xticklabels(["{:,}".format(size) for size in _ticks(curve)])
    ax.set_xlabel("photographs trained on")
    ax.set_title("more photographs {}".format(curve.outlook(label)), fontsize=12, color=INK)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    if figure is not None:
        figure.tight_layout()
    return ax


def plot_learning_curves(curve, labels=None, columns=4, axes=None):
    """Plot the learning curve of each class, small, side by side and on one scale.

    Each has the recall of the class, its 95 % interval, what to expect of twice as many
    photographs, and behind them the accuracy of all classes. The title says how many photographs
    of the class there are and whether more would help; it is red where they would.

    Parameters
    ----------
    curve : LearningCurve
        As `learning_curve` returns it.
    labels : sequence, optional
        Classes to show, in order. Default: all.
    columns : int
        Of a new figure.
    axes : matplotlib Axes, or as many as classes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of Axes, shape (n classes,)

    Raises
    ------
    ValueError
        There is no such class, no class at all, more than 100, or fewer axes than classes.

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import learning_curve, plot_learning_curves
    >>> rng = np.random.RandomState(0)
    >>> X = np.concatenate([rng.randn(80, 5), rng.randn(80, 5) + 4])
    >>> curve = learning_curve(X, np.repeat(["left", "right"], 80))
    >>> plot_learning_curves(curve).shape
    (2,)
    """
    check_whole_number("columns", columns)
    labels = curve.classes.tolist() if labels is None else list(labels)
    if not labels:
        raise ValueError("labels must name one class or more, not {!r}".format(labels))
    if len(labels) > _MOST_CLASSES:
        raise ValueError("{:,} classes are too many for one figure: name {} at most with "
                         "labels=".format(len(labels), _MOST_CLASSES))
    lowest = min(float(curve.intervals(label).min()) for label in labels)
    figure = None
    if axes is None:
        figure, panels = _panels(len(labels), columns)
    else:
        panels = np.ravel(axes)[:len(labels)]
        if len(panels) < len(labels):
            raise ValueError("{} classes but only {} axes".format(len(labels), len(panels)))
    for ax, label in zip(panels, labels):
        ax.plot(curve.sizes, curve.accuracies(), color=GREY, linewidth=1,
                label="accuracy of all classes")
        _draw(ax, curve, label, 1.6, "recall of the class")
        ax.set_ylim(max(0.0, lowest - 0.03), 1.03)
        ax.set_xticklabels(_short_ticks(curve))
        ax.tick_params(labelsize=8)
        _name(ax, curve, label)
    if figure is None:
        panels[0].legend(frameon=False, fontsize=7, loc="lower right")
    else:
        _join(figure, panels, min(columns, len(labels)))
    return panels


def _draw(ax, curve, label, width, name):
    """The curve of a class or of all, its interval and its end; ticks, but not their labels."""
    from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

    accuracies, (low, high) = curve.accuracies(label), curve.intervals(label).T
    sizes, ticks = curve.sizes.tolist(), _ticks(curve)
    ax.fill_between(sizes, low, high, color=BLUE, alpha=0.2, linewidth=0, label="95 % interval")
    ax.plot(sizes, accuracies, "o-", color=BLUE, linewidth=width, markersize=3 * width, label=name)
    ax.plot(ticks[-2:], [accuracies[-1], curve.expected(label)], linestyle=":", color=GREY)
    ax.plot(ticks[-1:], [curve.expected(label)], "o", markerfacecolor="white",
            markeredgecolor=VERMILION, markeredgewidth=width, markersize=3 * width,
            label="expected of twice as many")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    open_frame(ax)


def _ticks(curve):
    """The sizes of a curve and twice the last, list of int."""
    return curve.sizes.tolist() + [2 * int(curve.sizes[-1])]


def _short_ticks(curve):
    """Their texts; of long ones every other, that of all photographs among them."""
    texts = ["{:,}".format(size) for size in _ticks(curve)]
    if max(len(text) for text in texts) <= _MOST_OF_A_SIZE:
        return texts
    return [text if (len(texts) - i) % 2 == 0 else "" for i, text in enumerate(texts)]


def _name(ax, curve, label):
    name = str(label)
    if len(name) > _MOST_OF_A_NAME:  # both ends tell classes apart
        half = (_MOST_OF_A_NAME - 3) // 2
        name = name[:half + 1] + "..." + name[-half:]
    outlook, count = curve.outlook(label), int((curve.samples.labels == label).sum())
    set_title(ax, [name, "n = {:,}; more {}".format(count, outlook)],
              VERMILION if outlook == "would help" else INK, 8)


def _panels(n, columns):
    """A figure, and n axes row by row."""
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure, grid = new_figure(rows, columns, (
        max(columns, 3) * _PANEL_INCHES[0], rows * _PANEL_INCHES[1] + _FOOT_INCHES))
    for ax in grid.ravel()[n:]:
        ax.remove()
    return figure, grid.ravel()[:n]


def _join(figure, panels, columns):
    """Tick labels at the left and at the bottom only, and one legend for all."""
    for i, ax in enumerate(panels):
        ax.tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= len(panels))
    height = figure.get_size_inches()[1]
    figure.tight_layout(rect=(0, _FOOT_INCHES / height, 1, 1))
    figure.text(0.5, 0.6 * _FOOT_INCHES / height, "photographs trained on, of all classes",
                ha="center", fontsize=9, color=INK)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncol=4,
                  frameon=False, fontsize=8, borderpad=0)
