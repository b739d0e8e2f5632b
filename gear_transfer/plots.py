"""Pictures of results: the training history, labelled images, the confusion matrix.

Every function draws on the axes it is given, or on a new pyplot figure, and
returns the axes. None shows or closes a figure or touches the backend.
"""
import math
import textwrap

import numpy as np

from .errors import ImageError
from .images import read_image

# From the palette of Okabe and Ito, told apart with any kind of colour vision.
_BLUE = "#0072B2"
_VERMILION = "#D55E00"

_RED = "#C00000"
_INK = "#222222"
_GREY = "#767676"
_TILE_PIXELS = 224
_TILE_GREY = 230
_TILE_INCHES = 2.0
_GAP_INCHES = 0.12
_LINE_INCHES = 0.19


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
    loss = np.asarray(history.get("loss", ()), dtype=float)
    if loss.size == 0:
        raise ValueError("the history needs a 'loss' with at least one epoch; it has {}".format(
            sorted(history) or "nothing"))
    measures = ["loss"] + (["accuracy"] if "accuracy" in history else [])
    if ax is None:
        figure, drawn = _new_figure(1, len(measures), (4.8 * len(measures), 3.6))
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


def plot_predictions(images, predictions, probabilities=None, true_labels=None, columns=5,
                     axes=None):
    """Show images in a grid, titled with their predicted classes.

    Parameters
    ----------
    images : sequence of n images
        Paths, PIL images or uint8 arrays, or an ImageSet.
    predictions : sequence of n str
        The predicted classes; each is the first line of a title.
    probabilities : array of shape (n,) or (n, n_classes), optional
        The confidence, 0 to 1, shown below; of several columns the largest.
    true_labels : sequence of n str, optional
        Wrong predictions are written in red, with the true label.
    columns : int
        Images in a row.
    axes : array of at least n Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of n Axes

    Raises
    ------
    ValueError
        The arguments differ in length, or there is no image.
    """
    images = _as_images(images)
    predictions = [str(name) for name in predictions]
    if probabilities is not None:
        probabilities = np.asarray(probabilities, dtype=float)
        if probabilities.ndim == 2:
            probabilities = probabilities.max(axis=1)
    for name, values in (("predictions", predictions), ("probabilities", probabilities),
                         ("true_labels", true_labels)):
        if values is not None and len(values) != len(images):
            raise ValueError("{} images but {} {}".format(len(images), len(values), name))
    lines = 1 + (probabilities is not None) + (true_labels is not None)
    axes = _tiles(range(len(images)), columns, lines, axes)
    for i, tile in enumerate(axes):
        text, colour = [predictions[i]], _INK
        if probabilities is not None:
            text.append("{:.1%}".format(probabilities[i]))
        if true_labels is not None and str(true_labels[i]) != predictions[i]:
            text.append("true: {}".format(true_labels[i]))
            colour = _RED
        _show_image(tile, images[i])
        _title(tile, text, colour)
    return axes


def plot_confusion_matrix(true_labels, predicted_labels, classes=None, normalize=False, ax=None):
    """Plot how often each class was taken for each other one.

    Colour is the share of the true class, so that small classes show as well as
    large ones. The counting is `sklearn.metrics.confusion_matrix`.

    Parameters
    ----------
    true_labels, predicted_labels : sequence of n str
    classes : sequence of str, optional
        The order of rows and columns. Default: all that occur, sorted.
    normalize : bool
        Write the share of the true class in percent instead of the count.
    ax : matplotlib Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ValueError
        The labels differ in length, there are none, or `classes` lacks one.
    """
    from sklearn.metrics import confusion_matrix

    true_labels = [str(label) for label in true_labels]
    predicted_labels = [str(label) for label in predicted_labels]
    if len(true_labels) != len(predicted_labels) or not true_labels:
        raise ValueError("{} true but {} predicted labels; as many are needed, and one at least"
                         .format(len(true_labels), len(predicted_labels)))
    occurring = set(true_labels) | set(predicted_labels)
    classes = sorted(occurring) if classes is None else [str(name) for name in classes]
    if occurring - set(classes):
        raise ValueError("labels that are not among the classes: {}".format(
            ", ".join(sorted(occurring - set(classes)))))
    counts = confusion_matrix(true_labels, predicted_labels, labels=classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    figure = None
    if ax is None:
        side = max(2.4, 0.52 * len(classes))
        margin = 0.5 + 0.07 * max(len(name) for name in classes)
        figure, axes = _new_figure(1, 1, (side + margin + 1.2, side + margin + 0.3))
        ax = axes[0, 0]
    _draw_matrix(ax, counts, shares, normalize, aspect="auto" if figure else "equal")
    _name_classes(ax, classes)
    right = int(np.trace(counts))
    ax.set_title("{} of {} right ({:.1%})".format(right, counts.sum(), right / counts.sum()),
                 fontsize=12, color=_INK)
    if figure is not None:
        figure.tight_layout()
    return ax


def plot_images(image_set, per_class=1, columns=6, axes=None):
    """Show the first images of each class.

    Parameters
    ----------
    image_set : ImageSet
    per_class : int
        Images of each class; with more than one, each class has its own row.
    columns : int
        Images in a row where `per_class` is 1.
    axes : array of Axes, one for each image shown, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of Axes
        One for each image shown, class after class.

    Raises
    ------
    ValueError
        `per_class` is less than 1 or the set is empty.
    """
    if per_class < 1:
        raise ValueError("per_class must be at least 1, not {}".format(per_class))
    counts = image_set.counts()
    chosen, cells = [], []
    for row, name in enumerate(image_set.classes):
        indices = np.flatnonzero(image_set.labels == name)[:per_class]
        chosen.extend(indices)
        cells.extend(row * per_class + place for place in range(len(indices)))
    axes = _tiles(cells, columns if per_class == 1 else per_class, 2, axes)
    for tile, cell, index in zip(axes, cells, chosen):
        _show_image(tile, image_set.paths[index])
        if cell % per_class == 0:
            name = str(image_set.labels[index])
            number = counts[name]
            _title(tile, [name, "1 image" if number == 1 else "{} images".format(number)])
    return axes


# Figures

def _new_figure(rows, columns, inches):
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=inches, squeeze=False)


def _tiles(cells, columns, title_lines, axes):
    """Axes for square tiles: the first of those given, or the cells of a grid on a new figure."""
    if not cells:
        raise ValueError("there are no images to show")
    if axes is not None:
        axes = np.ravel(axes)
        if len(axes) < len(cells):
            raise ValueError("{} images but only {} axes".format(len(cells), len(axes)))
        return axes[:len(cells)]
    if columns < 1:
        raise ValueError("columns must be at least 1, not {}".format(columns))
    count = max(cells) + 1
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    # Laid out in inches by hand: titles of several lines defeat the automatic layouts.
    title = _LINE_INCHES * title_lines + _GAP_INCHES
    width = columns * _TILE_INCHES + (columns + 1) * _GAP_INCHES
    height = rows * (_TILE_INCHES + title) + _GAP_INCHES
    figure, grid = _new_figure(rows, columns, (width, height))
    figure.subplots_adjust(
        left=_GAP_INCHES / width, right=1 - _GAP_INCHES / width, wspace=_GAP_INCHES / _TILE_INCHES,
        bottom=_GAP_INCHES / height, top=1 - title / height, hspace=title / _TILE_INCHES)
    grid = grid.ravel()
    for cell in set(range(len(grid))) - set(cells):
        grid[cell].remove()
    return grid[list(cells)]


def _as_images(images):
    if isinstance(images, str):
        raise TypeError("images must be a sequence of images, not the one path {!r}".format(images))
    images = getattr(images, "paths", images)
    return images if isinstance(images, np.ndarray) else list(images)


# What is drawn on one axes

def _plot_measure(ax, history, measure, best):
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    curves = [("training", measure, _BLUE, "-")]
    if "val_" + measure in history:
        curves.append(("validation", "val_" + measure, _VERMILION, "--"))
    for label, key, colour, line in curves:
        values = np.asarray(history[key], dtype=float)
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, line, color=colour, linewidth=2, label=label,
                marker="o" if len(values) < 3 else None)
    if best is not None and best < len(values):
        text = "{:.1%}" if measure == "accuracy" else "{:.3g}"
        ax.axvline(best + 1, color=_GREY, linestyle=":", linewidth=1.2, zorder=1)
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
    ax.set_title(measure, fontsize=12, color=_INK)
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, fontsize=9)


def _show_image(ax, image):
    """Show an image on white, or a grey tile that says why it cannot be read."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_edgecolor("#CCCCCC")
    try:
        pixels = read_image(image, _TILE_PIXELS, "pad")
    except ImageError as error:
        pixels = np.full((_TILE_PIXELS, _TILE_PIXELS, 3), _TILE_GREY, dtype=np.uint8)
        reason = textwrap.fill("cannot be read: " + error.reason, 22)
        _plain(ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center",
                       fontsize=9, color=_INK))
    ax.imshow(pixels)


def _title(ax, lines, colour=_INK):
    """Title an axes, in letters small enough for the longest line to fit a tile."""
    size = min(11, max(6, 260 // max(1, max(len(line) for line in lines))))
    _plain(ax.set_title("\n".join(lines), fontsize=size, color=colour, pad=5))


def _plain(text):
    """Keep a dollar sign in a text from being taken for mathematics."""
    if hasattr(text, "set_parse_math"):  # matplotlib 3.6
        text.set_parse_math(False)
    else:
        text.set_text(_escape_dollars(text.get_text()))


def _escape_dollars(name):
    return name.replace("$", r"\$") if name.count("$") > 1 else name


def _draw_matrix(ax, counts, shares, normalize, aspect):
    picture = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect=aspect)
    size = 10 if counts.max() < 1000 and not normalize else 9
    for (row, column), count in np.ndenumerate(counts):
        red, green, blue, _ = picture.cmap(picture.norm(shares[row, column]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = _percent(shares[row, column]) if normalize else str(count)
        ax.text(column, row, text, ha="center", va="center", fontsize=size,
                color="white" if dark else _INK if count else "#A0A0A0")
    bar = ax.figure.colorbar(picture, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label("% of the true class" if normalize else "share of the true class")
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1])
    bar.set_ticklabels(["0", "25%", "50%", "75%", "100%"])


def _percent(share):
    return "<1" if 0 < share < 0.005 else "{:.0f}".format(100 * share)


def _name_classes(ax, classes):
    from matplotlib.text import Text

    can_be_plain = hasattr(Text, "set_parse_math")
    if not can_be_plain:  # tick labels are written anew at each drawing: be safe before
        classes = [_escape_dollars(name) for name in classes]
    places = np.arange(len(classes))
    ax.set_xticks(places)
    ax.set_yticks(places)
    ax.set_xticklabels(classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(classes)
    if can_be_plain:
        for label in ax.get_xticklabels() + ax.get_yticklabels():
            label.set_parse_math(False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_xticks(places[1:] - 0.5, minor=True)
    ax.set_yticks(places[1:] - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
