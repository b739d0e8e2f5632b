"""The confusion matrix."""
import numpy as np

from .drawing import INK, escape_dollars, new_figure


#: Classes up to which each cell has its number, and up to which all are shown.
_MOST_NUMBERS = 40
_MOST_CLASSES = 60

_LARGEST_SIDE = 21.0  # inches
_LONGEST_NAME = 40  # letters that there is room for
_LEAST_COLOUR = 0.25


def plot_confusion_matrix(true_labels, predicted_labels, classes=None, normalize=False, ax=None):
    """Plot how often each class was taken for each other one.

    Colour is the share of the true class, so that small classes show as well as
    large ones; mistakes have a colour of their own, so that a single one is seen.
    With more than 40 classes the cells have no numbers, with more than 60 the
    classes that are mistaken most are shown. The counting is
    `sklearn.metrics.confusion_matrix`.

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

    occurring = sorted_classes(list(true_labels) + list(predicted_labels))
    true_labels = [str(label) for label in true_labels]
    predicted_labels = [str(label) for label in predicted_labels]
    if len(true_labels) != len(predicted_labels) or not true_labels:
        raise ValueError("{} true but {} predicted labels; as many are needed, and one at least"
                         .format(len(true_labels), len(predicted_labels)))
    classes = occurring if classes is None else [str(name) for name in classes]
    if set(occurring) - set(classes):
        raise ValueError("labels that are not among the classes: {}".format(
            ", ".join(sorted(set(occurring) - set(classes)))))
    counts = confusion_matrix(true_labels, predicted_labels, labels=classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    right, number = int(np.trace(counts)), counts.sum()
    title = "{:,} of {:,} right ({:.1%})".format(right, number, right / number)
    if len(classes) > _MOST_CLASSES:
        shown = _most_confused(counts)
        title += "; the {} of {:,} classes that are mistaken most".format(len(shown), len(classes))
        classes = [classes[i] for i in shown]
        counts, shares = counts[np.ix_(shown, shown)], shares[np.ix_(shown, shown)]
    figure = None
    if ax is None:
        side = max(2.4, min(0.52, _LARGEST_SIDE / len(classes)) * len(classes))
        margin = 0.5 + 0.07 * min(max(len(name) for name in classes), _LONGEST_NAME)
        figure, axes = new_figure(1, 1, (side + margin + 1.2, side + margin + 0.3))
        ax = axes[0, 0]
    _draw_matrix(ax, counts, shares, normalize, aspect="auto" if figure else "equal")
    _name_classes(ax, classes)
    ax.set_title(title, fontsize=12, color=INK)
    if figure is not None:
        figure.tight_layout()
    return ax


def _most_confused(counts):
    """Positions of the classes with the most mistakes, in order."""
    wrong = counts - np.diag(np.diag(counts))
    mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    return np.sort(np.argsort(-mistakes, kind="mergesort")[:_MOST_CLASSES])


def sorted_classes(labels):
    """The different labels as text, sorted as what they are: 2 before 10."""
    labels = set(label.item() if isinstance(label, np.generic) else label for label in labels)
    try:
        return [str(label) for label in sorted(labels)]
    except TypeError:  # of several types
        return sorted(set(str(label) for label in labels))


def _draw_matrix(ax, counts, shares, normalize, aspect):
    mistakes = ~np.eye(len(counts), dtype=bool)
    picture = ax.imshow(np.ma.masked_where(mistakes, shares), cmap="Blues", vmin=0, vmax=1,
                        aspect=aspect)
    # From a share on at which a single mistake among a hundred has a colour.
    wrong = ax.imshow(np.ma.masked_where(~mistakes | (counts == 0), _LEAST_COLOUR + (
        1 - _LEAST_COLOUR) * shares), cmap="Oranges", vmin=0, vmax=1, aspect=aspect)
    size = 10 if counts.max() < 1000 and not normalize else 9
    for (row, column), count in np.ndenumerate(counts):
        if len(counts) > _MOST_NUMBERS:
            break
        shown = wrong if mistakes[row, column] else picture
        red, green, blue, _ = shown.cmap(shown.norm(shares[row, column]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = _percent(shares[row, column]) if normalize else str(count)
        ax.text(column, row, text, ha="center", va="center", fontsize=size,
                color="white" if dark else INK if count else "#A0A0A0")
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
        classes = [escape_dollars(name) for name in classes]
    classes = [name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME - 1] + "\u2026"
               for name in classes]
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
