"""What counts as several images: lists, columns, ImageSets and arrays, told from one picture."""
import collections.abc

import numpy as np
from PIL import Image

from ..common.arguments import is_missing, is_path
from ..errors import ImageError

_CHANNELS = (1, 3, 4)  # grey, red green blue, and with transparency


class MissingImage(object):
    """Stands where a value is missing among images: it cannot be read, as a lost file cannot.

    Parameters
    ----------
    position : int
        Among the images, from 0 on.
    """

    def __init__(self, position):
        self.position = position

    def error(self):
        """The ImageError that says so."""
        return ImageError("number {}, counted from 0".format(self.position),
                          "a value is missing there, not a path or picture")


def is_encoded(image):
    """Whether an image is what a file holds: bytes, a bytearray or a memoryview."""
    return isinstance(image, (bytes, bytearray, memoryview))


def is_open_file(image):
    """Whether an image is a file object."""
    return callable(getattr(image, "read", None))


def content_of(image):
    """What an open file holds from where it stands on, as bytes; all else as it is.

    Raises
    ------
    TypeError
        If the file is open for text.
    """
    if not is_open_file(image):
        return image
    content = image.read()
    if not isinstance(content, bytes):
        raise TypeError("an image comes from a file that is open for text; open it with mode 'rb'")
    return content


def listed(images):
    """What an iterator gives, as a list; all else as it is."""
    is_iterator = (hasattr(images, "__iter__") and not hasattr(images, "__len__")
                   and not is_open_file(images))
    return list(images) if is_iterator else images


def check_images(X):
    """A sequence of images, as opposed to one image or one path.

    A table of one column counts as that column, so that what selects columns
    of a frame can hand on the paths, and an ImageSet as its paths.

    Parameters
    ----------
    X : sequence of str, Path, bytes, memoryview, file object, PIL.Image.Image or uint8 ndarray; \
            ImageSet; or uint8 ndarray (n, h, w, c)
        Bytes are what an image file holds. A file object is read to its end, once.

    Returns
    -------
    list, or ndarray of uint8, shape (n, h, w, 1), (n, h, w, 3) or (n, h, w, 4)
        A `MissingImage` where a list has None or another mark of a missing value.

    Raises
    ------
    TypeError
        It is one image, has no order, or holds what can be no image; says where.
    """
    if hasattr(X, "tocsr"):
        raise TypeError("images cannot be sparse; give paths, PIL images or uint8 arrays")
    if hasattr(X, "columns"):
        if len(X.columns) != 1:
            raise TypeError("expected a sequence of images, not a {} of several columns: give the "
                            "column of paths, or ImageSet.from_frame(frame)".format(
                                type(X).__name__))
        X = X[X.columns[0]]
    elif isinstance(getattr(X, "paths", None), list):
        X = X.paths
    if isinstance(X, str) or is_encoded(X) or not hasattr(X, "__len__"):
        raise TypeError("expected a sequence of images, not {!r}: give [image]".format(
            X if isinstance(X, str) else type(X).__name__))
    if isinstance(X, (collections.abc.Mapping, collections.abc.Set)):
        raise TypeError("expected a sequence of images, not a {}, which has no order".format(
            type(X).__name__))
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "OU":
            return _check_pixels_of_many(X)
        X = X.ravel().tolist() if X.ndim == 2 and X.shape[1] == 1 or not X.ndim else X.tolist()
    images = [_check_item(position, image) for position, image in enumerate(X)]
    _refuse_rows(images)
    return images


def problem_of_pixels(array):
    """What keeps an array from being one picture.

    Parameters
    ----------
    array : ndarray

    Returns
    -------
    str or None
        None where nothing does.
    """
    if array.dtype != np.uint8:
        return "pixels must be of type uint8, 0 to 255"
    if array.ndim == 2 or array.ndim == 3 and array.shape[2] in _CHANNELS:
        return None
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        return "the channels come first, image.transpose(1, 2, 0) brings them last"
    return "the shape must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)"


def _check_pixels_of_many(array):
    """An array that holds several pictures, and not one or what the axes would tell wrongly."""
    if array.dtype != np.uint8:
        raise TypeError("an array of images must be of type uint8 with values from 0 to 255, not "
                        "{}".format(array.dtype))
    if array.ndim in (2, 3):
        raise TypeError("expected a sequence of images; an array of shape {} is one picture, or "
                        "several in grey: give [image], image[None], or list(images)".format(
                            array.shape))
    if array.ndim != 4 or array.shape[3] not in _CHANNELS:
        channels_first = array.ndim == 4 and array.shape[1] in _CHANNELS
        raise TypeError("an array of images must have the shape (n, height, width, 3), not {}{}".format(
            array.shape, ": the channels come first, images.transpose(0, 2, 3, 1) brings them last"
            if channels_first else ""))
    return array


def _check_item(position, image):
    """One of a sequence of images, looked at without reading it."""
    if is_missing(image):
        return MissingImage(position)
    if isinstance(image, np.ndarray):
        problem = problem_of_pixels(image)
        if problem:
            raise TypeError("image number {} is an array of shape {} and type {}: {}".format(
                position, image.shape, image.dtype, problem))
    elif is_encoded(image):
        return bytes(image)  # nobody can alter it meanwhile, and it can travel to a worker
    elif is_path(image) or isinstance(image, (Image.Image, MissingImage)):
        return image
    elif is_open_file(image):
        return content_of(image)
    else:
        raise TypeError("image number {} must be a path, the bytes of a file, an open file, a PIL image "
                        "or a uint8 array, not {}".format(position, type(image).__name__))
    return image


def _refuse_rows(images):
    """Refuse what ``list(picture)`` gives: the rows of one picture, each like a narrow grey one."""
    shapes = set(image.shape if isinstance(image, np.ndarray) else None for image in images)
    if len(images) > 1 and len(shapes) == 1 and None not in shapes:
        shape = shapes.pop()
        if len(shape) == 2 and shape[1] in (3, 4):
            raise TypeError("expected a sequence of images; {} arrays of shape {} are the rows of one "
                            "picture: give [image]".format(len(images), shape))
