"""Pictures in a grid: with their predictions, or the first of each class."""
import numpy as np

from ..common.arguments import check_list, check_whole_number
from ..photographs.images import read_image
from .drawing import (GREY, INK, RED, as_images, check_lengths, default_input_size,
                      default_resize, set_title, show_image, show_pixels, tiles)


def plot_predictions(images, predictions, probabilities=None, true_labels=None, columns=5,
                     axes=None, unknown="none of these", truth="true"):
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
    unknown : str
        What `TransferClassifier.predict` says of what is unlike all classes. It is written in
        grey, without the confidence in the class it would otherwise have had.
    truth : str
        What stands before a true label, such as "label" where it is in question itself.

    Returns
    -------
    axes : ndarray of n Axes

    Raises
    ------
    ValueError
        The arguments differ in length, or there is no image.
    """
    images = as_images(images)
    predictions = [str(name) for name in check_list("predictions", predictions)]
    if probabilities is not None:
        probabilities = np.asarray(probabilities, dtype=float)
        if probabilities.ndim == 2:
            probabilities = probabilities.max(axis=1)
    check_lengths(images, ("predictions", predictions), ("probabilities", probabilities),
                  ("true_labels", true_labels))
    lines = 1 + (probabilities is not None) + (true_labels is not None)
    axes = tiles(range(len(images)), columns, lines, axes)
    for i, tile in enumerate(axes):
        is_known = predictions[i] != unknown
        text, colour = [predictions[i]], INK if is_known else GREY
        if probabilities is not None and is_known:
            text.append("{:.1%}".format(probabilities[i]))
        if true_labels is not None and str(true_labels[i]) != predictions[i]:
            text.append("{}: {}".format(truth, true_labels[i]))
            colour = RED if is_known else GREY
        show_image(tile, images[i])
        set_title(tile, text, colour)
    return axes


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
    check_whole_number("per_class", per_class)
    counts = image_set.counts()
    chosen, cells = [], []
    for row, name in enumerate(image_set.classes):
        indices = np.flatnonzero(image_set.labels == name)[:per_class]
        chosen.extend(indices)
        cells.extend(row * per_class + place for place in range(len(indices)))
    axes = tiles(cells, columns if per_class == 1 else per_class, 2, axes)
    for tile, cell, index in zip(axes, cells, chosen):
        show_image(tile, image_set.paths[index])
        if cell % per_class == 0:
            name = str(image_set.labels[index])
            number = counts[name]
            set_title(tile, [name, "1 image" if number == 1 else "{} images".format(number)])
    return axes


def plot_views(images, augment=4, input_size=None, resize=None, axes=None):
    """Show photographs, each in a row with its augmented views.

    Parameters
    ----------
    images : sequence of n images
        Paths, PIL images or uint8 arrays, or an ImageSet.
    augment : int or Augmentation
        That of the classifier. Default: that of one with the default settings.
    input_size : int or (int, int), optional
        That of the classifier: views are shown as they are trained on. Default: that of one with
        the default settings.
    resize : {"pad", "stretch", "crop"}, optional
        That of the classifier.
    axes : array of at least n * (1 + views) Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of Axes, shape (n, 1 + views)

    Raises
    ------
    ValueError
        There is no image, or a setting makes no sense.
    ImageError
        For the first image that cannot be read.
    """
    from ..photographs.augmentation import as_augmentation

    images, augmentation = as_images(images), as_augmentation(augment)
    if augmentation is None:
        raise ValueError("augment must be 1 or more views, not {!r}".format(augment))
    if input_size is None:
        input_size = default_input_size()
    columns = 1 + augmentation.views
    axes = tiles(range(len(images) * columns), columns, 1, axes).reshape(-1, columns)
    for image, row in zip(images, axes):
        resize = resize or default_resize()
        pixels = [read_image(image, input_size, resize)]
        pixels.extend(augmentation.views_of(image, input_size, resize))
        for number, (tile, view) in enumerate(zip(row, pixels)):
            show_pixels(tile, view)
            set_title(tile, ["view {}".format(number) if number else "photograph"])
    return axes
