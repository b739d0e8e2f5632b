"""Augmented views: what a photograph might also have looked like, for training only.

Which views a photograph has is decided by its content, the seed and the number of the
view alone, so they are the same on any machine and in any order.
"""
import hashlib
import math
import struct

import numpy as np
from PIL import Image, ImageEnhance

from ..common.estimator import Estimator, parameter_names
from ..errors import ImageError
from .hashes import image_hash
from .images import read_picture, size_pair

_MOST_VIEWS = 256
_WHITE = (255, 255, 255)
_DRAWS = 8  # numbers for each view: a SHA-256 has eight of 32 bits


class Augmentation(Estimator):
    """How photographs are changed, and how many views of each are made.

    The kinds of change and their order are those customary in training on ImageNet (A. Howard,
    "Some improvements on deep convolutional neural network based image classification", 2013):
    one resampling that mirrors, turns and crops, then colour. What comes into view beside the
    photograph is white, as its borders are.

    Parameters
    ----------
    views : int
        Views of each photograph, beside the photograph itself.
    flip : bool
        Mirror about half of the views, left to right.
    crop : float
        Share of the width and height that a view may lack at most, 0 to 0.5.
    colour : float
        By what share brightness, contrast and saturation may be raised or lowered, 0 to 0.9.
    rotation : float
        Degrees that a view may be turned to either side, 0 to 180.
    seed : int
        Another seed gives other views.

    Examples
    --------
    >>> import gear_transfer as gt
    >>> triangle = gt.make_shape("triangle", random_state=0)
    >>> gt.Augmentation(views=3).views_of(triangle, 96).shape
    (3, 96, 96, 3)
    """

    def __init__(self, views=4, flip=True, crop=0.2, colour=0.2, rotation=10, seed=0):
        self.views = views
        self.flip = flip
        self.crop = crop
        self.colour = colour
        self.rotation = rotation
        self.seed = seed

    def check(self):
        """Refuse settings that make no sense.

        Raises
        ------
        ValueError
            Naming the setting and its value.
        """
        for name, kind, low, high in (("views", int, 1, _MOST_VIEWS), ("seed", int, 0, 2**63 - 1),
                                      ("crop", float, 0, 0.5), ("colour", float, 0, 0.9),
                                      ("rotation", float, 0, 180)):
            value = getattr(self, name)
            kinds = (int, np.integer) if kind is int else (int, float, np.number)
            if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                raise ValueError("{} of an Augmentation must be a {} from {} to {}, not {!r}"
                                 .format(name, "whole number" if kind is int else "number",
                                         low, high, value))
        if not isinstance(self.flip, (bool, np.bool_)):
            raise ValueError("flip of an Augmentation must be True or False, not {!r}".format(
                self.flip))

    def to_dict(self):
        """The settings as plain values, which `Augmentation` takes as keywords."""
        self.check()
        values = [(name, getattr(self, name)) for name in parameter_names(type(self))]
        return dict((name, value.item() if isinstance(value, np.generic) else value)
                    for name, value in values)

    def views_of(self, image, input_size, resize="pad", see_content=None):
        """Decode an image once and make its views.

        Parameters
        ----------
        image, input_size, resize
            As `read_image` takes them.
        see_content : callable, optional
            See `read_picture`.

        Returns
        -------
        ndarray of uint8, shape (views, height, width, 3)

        Raises
        ------
        ImageError
            If the image cannot be read.
        """
        self.check()
        height, width = size_pair(input_size)
        # Large enough that the closest crop need not be enlarged.
        scale = 1.0 / (1.0 - self.crop)
        picture = read_picture(image, (_scaled(height, scale), _scaled(width, scale)), resize,
                               see_content)
        content = image_hash(image)
        if content is None:
            raise ImageError(str(image), "it was there, but is no longer")
        views = np.empty((self.views, height, width, 3), np.uint8)
        for number in range(self.views):
            draws = self._draws(content, number)
            views[number] = self._view(picture, (width, height), scale, draws)
        return views

    def _draws(self, content, number):
        """Eight numbers from 0 to 1 for a view, by the hash of what decides them."""
        digest = hashlib.sha256(content + struct.pack("<qq", self.seed, number)).digest()
        return [value / 2.0**32 for value in struct.unpack("<{}I".format(_DRAWS), digest)]

    def _view(self, picture, size, scale, draws):
        mirrored, turned, kept, left, top = draws[:5]
        view = picture.transform(size, Image.AFFINE, _placement(
            picture.size, size, scale,
            share=1 - self.crop * kept,
            angle=math.radians(self.rotation * (2 * turned - 1)),
            mirror=self.flip and mirrored < 0.5,
            shift=(2 * left - 1, 2 * top - 1)), Image.BILINEAR, fillcolor=_WHITE)
        if self.colour:
            for enhancer, draw in zip((ImageEnhance.Brightness, ImageEnhance.Contrast,
                                       ImageEnhance.Color), draws[5:]):
                view = enhancer(view).enhance(1 + self.colour * (2 * draw - 1))
        return np.asarray(view)


def _scaled(side, scale):
    return int(math.ceil(side * scale))


def _placement(picture_size, size, scale, share, angle, mirror, shift):
    """Coefficients of `PIL.Image.Image.transform`: where in the picture a view's pixels lie.

    The view is a window with the given share of the sides of the whole, somewhere in it as
    `shift` says, from -1 to 1 along each axis; the picture in the middle of the whole is turned.
    """
    step = scale * share * (-1 if mirror else 1), scale * share
    cos, sin = math.cos(angle), math.sin(angle)
    coefficients = []
    for along, across, centre in ((cos, -sin, picture_size[0] / 2.0),
                                  (sin, cos, picture_size[1] / 2.0)):
        moved = [scale * (1 - share) * shift[axis] * size[axis] / 2.0 for axis in (0, 1)]
        a, b = along * step[0], across * step[1]
        coefficients += [a, b, centre + along * moved[0] + across * moved[1]
                         - a * size[0] / 2.0 - b * size[1] / 2.0]
    return coefficients


def as_augmentation(setting):
    """What a parameter ``augment=`` asks for.

    Parameters
    ----------
    setting : None, int or Augmentation
        None or 0 for none; a number of views; or all settings.

    Returns
    -------
    Augmentation or None

    Raises
    ------
    ValueError
        If it makes no sense.
    """
    if setting is None:
        return None
    if isinstance(setting, Augmentation):
        setting.check()
        return setting
    if isinstance(setting, bool) or not isinstance(setting, (int, np.integer)) or not (
            0 <= setting <= _MOST_VIEWS):
        raise ValueError("augment must be None, a number of views up to {} or an Augmentation, not "
                         "{!r}".format(_MOST_VIEWS, setting))
    return Augmentation(views=int(setting)) if setting else None


def with_views(X, y, views):
    """Samples followed by their views, and the labels of all.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    y : ndarray of shape (n,)
    views : ndarray of shape (n, v, d), or None

    Returns
    -------
    X : ndarray of shape (n * (1 + v), d)
    y : ndarray of shape (n * (1 + v),)
    """
    if views is None:
        return X, y
    return (np.concatenate([X, views.reshape(-1, X.shape[1])]),
            np.concatenate([y, np.repeat(y, views.shape[1])]))
