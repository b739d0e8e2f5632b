"""Difference hashes: what two photographs of the same thing have in common, in 512 bits.

A photograph is brought to grey and to a few pixels; each bit says whether a pixel is
brighter than its neighbour. Size, compression, brightness and, mostly, colour leave the
bits as they are (N. Krawetz, "Kind of like that", 2013, calls it dHash). Here both
directions are compared on a grid of 16 x 16, as ImageHash does for rows or columns.
"""
import concurrent.futures
import hashlib
import pathlib

import numpy as np

from .backbone import check_threads
from .cache import content_hash, feature_key, open_cache
from .errors import ImageError
from .images import read_image

SIDE = 16
BITS = 2 * SIDE * SIDE

# Large enough to be smooth on the grid, small enough for a JPEG decoder's short cut.
_READ_SIZE = 64

# Raise the number whenever the bits change, so that hashes kept before are not found again.
_SETTINGS = "difference hash 1"


def difference_hash(image):
    """The bits of one photograph.

    Parameters
    ----------
    image : str, Path, PIL.Image.Image or uint8 ndarray
        As `read_image` takes it.

    Returns
    -------
    ndarray of bool, shape (512,)
        256 comparisons along rows, then 256 along columns.

    Raises
    ------
    ImageError
        If the image cannot be read.
    """
    from PIL import Image
    grey = Image.fromarray(read_image(image, _READ_SIZE, "stretch")).convert("L")
    rows = np.asarray(grey.resize((SIDE + 1, SIDE), Image.BICUBIC))
    columns = np.asarray(grey.resize((SIDE, SIDE + 1), Image.BICUBIC))
    return np.concatenate([(rows[:, 1:] > rows[:, :-1]).ravel(),
                           (columns[1:] > columns[:-1]).ravel()])


def hash_images(images, cache=None, threads=None):
    """The bits and the content of many photographs.

    Parameters
    ----------
    images : sequence
        As for `difference_hash`.
    cache : bool, str, Path, FeatureCache or None
        Where the bits of files are kept, by their content.
    threads : int, optional
        Default is the number of processors this process may use.

    Returns
    -------
    bits : ndarray of bool, shape (n, 512)
        No bit is set for an image that cannot be read.
    contents : list of bytes or None
        SHA-256 of each file, or of each image's pixels; None where there is nothing to read.
    failures : list of (int, ImageError)
        Positions and reasons of the images that cannot be read.
    """
    cache = open_cache(cache)
    bits = np.zeros((len(images), BITS), bool)
    failures = []
    with concurrent.futures.ThreadPoolExecutor(check_threads(threads)) as executor:
        contents = list(executor.map(image_hash, images))
        keys = [feature_key(content, _SETTINGS) if cache is not None and content
                and _is_path(image) else None for image, content in zip(images, contents)]
        known = cache.get([key for key in keys if key], BITS // 8) if cache is not None else {}
        missing = [i for i, key in enumerate(keys) if key not in known]
        for i, result in zip(missing, executor.map(_bits_or_error, [images[i] for i in missing])):
            if isinstance(result, ImageError):
                failures.append((i, result))
            else:
                bits[i] = result
    for i, key in enumerate(keys):
        if key in known:
            # The cache keeps floats: one for each eight bits.
            bits[i] = np.unpackbits(known[key].astype(np.uint8))
    failed = set(i for i, _ in failures)
    new = [i for i in missing if keys[i] and i not in failed]
    if new:
        cache.put([keys[i] for i in new], np.packbits(bits[new], axis=1).astype(np.float32))
    return bits, contents, failures


def _is_path(image):
    return isinstance(image, (str, pathlib.PurePath))


def image_hash(image):
    """SHA-256 of the file, or of the pixels where there is no file.

    Parameters
    ----------
    image : str, Path, PIL.Image.Image or uint8 ndarray

    Returns
    -------
    bytes or None
        None where nothing can be read.
    """
    if _is_path(image):
        return content_hash(str(image))
    try:
        pixels = np.ascontiguousarray(image)
    except Exception:  # a damaged PIL image makes decoders raise nearly anything
        return None
    return hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode("ascii")
                          + pixels.tobytes()).digest()


def _bits_or_error(image):
    try:
        return difference_hash(image)
    except ImageError as error:
        # A fresh error: the old one's traceback would keep the pixels alive.
        return ImageError(error.path, error.reason)
