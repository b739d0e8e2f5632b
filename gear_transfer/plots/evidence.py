"""What a prediction rests on: the nearest training photographs; and which went wrong."""
import numpy as np

from .drawing import INK, RED, as_images, check_lengths, set_title, show_image, show_text, tiles


def plot_nearest(images, predictions, neighbours, axes=None):
    """Show photographs, each in a row with the training photographs most like it.

    Parameters
    ----------
    images : sequence of n images
        Paths, PIL images or uint8 arrays, or an ImageSet.
    predictions : sequence of n str
        The predicted classes; neighbours of another class are titled in red.
    neighbours : Neighbours
        As `nearest` returns them.
    axes : array of at least n * (1 + k) Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of Axes, shape (n, 1 + k)

    Raises
    ------
    ValueError
        The arguments differ in length, or there is no image.
    """
    images = as_images(images)
    check_lengths(images, ("predictions", predictions), ("neighbours", neighbours.images))
    columns = 1 + np.shape(neighbours.labels)[1]
    axes = tiles(range(len(images) * columns), columns, 2, axes).reshape(-1, columns)
    for row, tile_row in enumerate(axes):
        show_image(tile_row[0], images[row])
        set_title(tile_row[0], ["predicted:", str(predictions[row])])
        for tile, image, label, distance in zip(
                tile_row[1:], neighbours.images[row], neighbours.labels[row],
                neighbours.distances[row]):
            show_image(tile, image)
            set_title(tile, [str(label), "distance {:.3f}".format(distance)],
                      INK if str(label) == str(predictions[row]) else RED)
    return axes


def plot_misclassified(images, predictions, true_labels, probabilities=None, most=20, columns=5,
                       axes=None):
    """Show the photographs that were classified wrongly, the most confident mistakes first.

    Parameters
    ----------
    images : sequence of n images
        Paths, PIL images or uint8 arrays, or an ImageSet.
    predictions, true_labels : sequence of n str
    probabilities : array of shape (n,) or (n, n_classes), optional
        The confidence, 0 to 1; of several columns the largest.
    most : int
        Photographs shown at most.
    columns : int
        Images in a row.
    axes : array of Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of Axes
        One for each photograph shown; with no mistake, one that says so.

    Raises
    ------
    ValueError
        The arguments differ in length, or there is no image.
    """
    from .grids import plot_predictions

    images = as_images(images)
    check_lengths(images, ("predictions", predictions), ("true_labels", true_labels),
                  ("probabilities", probabilities))
    if not len(images):
        raise ValueError("there are no images to show")
    if most < 1:
        raise ValueError("most must be at least 1, not {}".format(most))
    names, truth = np.array([str(name) for name in predictions]), np.array(
        [str(name) for name in true_labels])
    wrong = np.flatnonzero(names != truth)
    if probabilities is not None:
        confidence = np.asarray(probabilities, dtype=float)
        confidence = confidence.max(axis=1) if confidence.ndim == 2 else confidence
        wrong = wrong[np.argsort(-confidence[wrong], kind="mergesort")]
    wrong = wrong[:most]
    if not len(wrong):
        return show_text(axes, "all {:,} right".format(len(images)))
    return plot_predictions([images[i] for i in wrong], names[wrong],
                            None if probabilities is None else confidence[wrong], truth[wrong],
                            columns, axes)
