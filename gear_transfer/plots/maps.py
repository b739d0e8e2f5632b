"""Activation maps over the photographs they belong to."""
import numpy as np

from ..errors import ImageError
from ..photographs.images import read_image, size_pair
from .drawing import (as_images, check_lengths, default_input_size, default_resize, set_title,
                      show_image, show_pixels, tiles)

_PALER = 0.55  # share of its distance from white that the grey keeps, for colours on dark things
_STRONGEST_COVER = 0.85  # of the grey where the map is strongest
_WEAKEST, _STRONGEST = 0.25, 0.85  # of the colour map: neither almost white nor almost black
_FULL_FROM = 99  # percentile of the coloured pixels
_CLEARLY_SEEN = 64.0  # levels below white, of 255
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


def plot_activation_maps(images, maps, titles=None, extent=(0, 0, 1, 1), input_size=None,
                         resize=None, columns=5, axes=None):
    """Show photographs in grey under their activation maps: red is what speaks for the class.

    The colours are relative to the strongest places of each photograph; what
    speaks against the class stays grey, and what is white stays white.

    Parameters
    ----------
    images : sequence of n images
        Paths, PIL images or uint8 arrays, or an ImageSet.
    maps : ndarray of shape (n, h, w)
        As `activation_map` returns them.
    titles : sequence of n str, optional
        Such as the predicted classes.
    extent : tuple of float
        Where the maps lie, as `map_extent` returns it; default is all over.
    input_size : int or (int, int), optional
        That of the classifier: the photographs are shown as it sees them. Default: that of one
        with the default settings.
    resize : {"pad", "stretch", "crop"}, optional
        That of the classifier. Default: that of one with the default settings.
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
    images, maps = as_images(images), np.asarray(maps, dtype=float)
    check_lengths(images, ("maps", maps), ("titles", titles))
    if len(images) and maps.ndim != 3:
        raise ValueError("maps must have the shape (n, h, w), not {}".format(maps.shape))
    size = size_pair(default_input_size() if input_size is None else input_size)
    axes = tiles(range(len(images)), columns, 0 if titles is None else 1, axes)
    for i, tile in enumerate(axes):
        try:
            pixels = read_image(images[i], size, resize or default_resize())
        except ImageError:
            show_image(tile, images[i])  # says why it cannot be read
        else:
            show_pixels(tile, covered(pixels, maps[i], extent))
        if titles is not None:
            set_title(tile, [str(titles[i])])
    return axes


def covered(pixels, values, extent=(0, 0, 1, 1)):
    """A photograph in pale grey with the positive part of its activation map laid over it.

    White pixels, such as the borders of the photograph and the background of a catalogue, stay
    white: what equals the reference, here the blank picture, has no share in the result
    (A. Shrikumar, P. Greenside and A. Kundaje, "Learning important features through propagating
    activation differences", ICML 2017). A place of a map sees a part of the photograph that is
    much larger than itself, so its evidence there comes from the thing beside it.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    values : ndarray of shape (h, w)
    extent : tuple of float

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    import matplotlib.cm

    seen = np.minimum((255 - pixels.min(axis=2)) / _CLEARLY_SEEN, 1.0)
    left, top, right, bottom = extent
    rows = _interpolation(pixels.shape[0], values.shape[0], top, bottom)
    columns = _interpolation(pixels.shape[1], values.shape[1], left, right)
    heat = rows.dot(np.maximum(values, 0)).dot(columns.T) * seen
    if heat.any():
        heat = np.minimum(heat / np.percentile(heat[heat > 0], _FULL_FROM), 1.0)
    colours = matplotlib.cm.YlOrRd(_WEAKEST + (_STRONGEST - _WEAKEST) * heat)[..., :3] * 255
    cover = (_STRONGEST_COVER * heat)[..., None]
    grey = 255 - _PALER * (255 - pixels.dot(_LUMINANCE)[..., None])  # all colour is the map's
    return np.round(grey * (1 - cover) + colours * cover).astype(np.uint8)


def _interpolation(size, count, first, last):
    """Weights (size, count) of linear interpolation between the places of one axis of a map."""
    pixel = (np.arange(size) + 0.5) / size
    place = np.clip((pixel - first) / (last - first) * count - 0.5, 0, count - 1)
    return np.stack([np.interp(place, np.arange(count), row) for row in np.eye(count)], axis=1)
