"""The sample's picture set: circles, squares and triangles of random size and colour."""
import os
import shutil
import uuid

import numpy as np

from ..common.arguments import check_path, check_whole_number
from ..errors import DatasetError, ImageError

SHAPES = ("circle", "square", "triangle")

_SAME_PICTURE = 4.0  # mean difference: JPEG compression makes 1.5, another seed 6 or more


def make_shape(shape, size=128, random_state=None):
    """Draw one shape on white.

    Parameters
    ----------
    shape : {"circle", "square", "triangle"}
    size : int
        Side of the picture in pixels.
    random_state : int, numpy.random.RandomState or None
        Decides place, size and colour.

    Returns
    -------
    pixels : uint8 ndarray of shape (size, size, 3)

    Raises
    ------
    ValueError
        The shape is unknown or the size too small.
    """
    from PIL import Image, ImageDraw

    if shape not in SHAPES:
        raise ValueError("shape must be one of {}, not {!r}".format(", ".join(SHAPES), shape))
    check_whole_number("size", size, 8)
    rng = _random_state(random_state)
    unit = size / 128  # the corners are those of the sample's 128-pixel pictures
    near = int(round(rng.randint(10, 41) * unit))
    far = int(round(rng.randint(60, 101) * unit))
    colour = tuple(int(value) for value in rng.randint(0, 201, size=3))
    picture = Image.new("RGB", (size, size), (255, 255, 255))
    pen = ImageDraw.Draw(picture)
    if shape == "circle":
        pen.ellipse([(near, near), (far, far)], fill=colour)
    elif shape == "square":
        pen.rectangle([(near, near), (far, far)], fill=colour)
    else:
        pen.polygon([(near, near), (far, far), (far, near)], fill=colour)
    return np.array(picture)


def make_shapes(folder, per_class=400, size=128, random_state=0):
    """Write a folder of JPEG pictures of circles, squares and triangles.

    The set is finished under another name beside `folder` and then renamed, so
    a folder of that name is always whole. One that holds the same set already
    is left as it is. Nothing is ever deleted.

    Parameters
    ----------
    folder : str or pathlib.Path
        Will hold the class folders circle, square and triangle.
    per_class : int
        Pictures of each shape.
    size : int
        Side of the pictures in pixels.
    random_state : int, numpy.random.RandomState or None
        The same int makes the same set.

    Returns
    -------
    folder : str

    Raises
    ------
    DatasetError
        `folder` holds something else, or cannot be written.
    ValueError
        `per_class` or `size` is too small.
    """
    folder = check_path("folder", folder)
    check_whole_number("per_class", per_class)
    names = _file_names(per_class)
    pictures = _pictures(per_class, size, _random_state(random_state))
    first = [next(pictures) for _ in SHAPES]
    try:
        if _is_occupied(folder):
            if not _holds_set(folder, names, first, _is_seed(random_state)):
                raise _something_else(folder)
            return folder
        _build(folder, names, first, pictures)
    except OSError as error:
        raise DatasetError("cannot make the shapes in {!r}: {}".format(
            folder, error.strerror or error)) from error
    return folder


def _random_state(seed):
    try:
        return seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)
    except (TypeError, ValueError):
        raise ValueError("random_state must be a whole number from 0 on, a RandomState or None, "
                         "not {!r}".format(seed)) from None


def _is_seed(random_state):
    return random_state is not None and not isinstance(random_state, np.random.RandomState)


def _file_names(per_class):
    digits = max(3, len(str(per_class)))
    return [(shape, "{}{:0{}d}.jpg".format(shape, number, digits))
            for number in range(1, per_class + 1) for shape in SHAPES]


def _pictures(per_class, size, rng):
    """All pictures in the order of `_file_names`: one of each shape, again and again."""
    for _ in range(per_class):
        for shape in SHAPES:
            yield make_shape(shape, size, rng)


def _is_occupied(folder):
    return os.path.lexists(folder) and not (os.path.isdir(folder) and not os.listdir(folder))


def _something_else(folder):
    return DatasetError(
        "{!r} already holds something else than these shapes. Choose another folder, or move "
        "this one away; nothing in it was changed".format(folder))


def _visible(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _holds_set(folder, names, first, compare):
    """Whether a folder holds these files, the first of each class looking as it should."""
    from .images import open_image, read_image

    if not os.path.isdir(folder) or _visible(folder) != sorted(SHAPES):
        return False
    for position, shape in enumerate(SHAPES):
        class_folder = os.path.join(folder, shape)
        expected = [name for kind, name in names if kind == shape]
        if not os.path.isdir(class_folder) or _visible(class_folder) != expected:
            return False
        path = os.path.join(class_folder, expected[0])
        pixels = first[position]
        try:
            with open_image(path) as opened:
                if opened.size != (pixels.shape[1], pixels.shape[0]):
                    return False
            found = read_image(path, pixels.shape[:2])
        except ImageError:
            return False
        difference = np.abs(found.astype(int) - pixels.astype(int)).mean()
        if compare and difference > _SAME_PICTURE:
            return False
    return True


def _build(folder, names, first, rest):
    from PIL import Image

    target = os.path.realpath(folder)
    parent, name = os.path.split(target)
    os.makedirs(parent, exist_ok=True)
    unfinished = os.path.join(parent, ".{}-{}".format(name, uuid.uuid4().hex))
    os.mkdir(unfinished)
    try:
        for shape in SHAPES:
            os.mkdir(os.path.join(unfinished, shape))
        pictures = (pixels for part in (first, rest) for pixels in part)
        for (shape, file_name), pixels in zip(names, pictures):
            Image.fromarray(pixels).save(os.path.join(unfinished, shape, file_name), quality=90)
        if os.name == "nt" and os.path.isdir(target):
            os.rmdir(target)  # fails unless empty; elsewhere the renaming replaces it
        os.rename(unfinished, target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
