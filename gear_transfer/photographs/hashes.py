"""Difference hashes: what two photographs of the same thing have in common, in 512 bits.

A photograph is brought to grey and to a few pixels; each bit says whether a pixel is
brighter than its neighbour. Size, compression, brightness and, mostly, colour leave the
bits as they are (N. Krawetz, "Kind of like that", 2013, calls it dHash). Here both
directions are compared on a grid of 16 x 16, as ImageHash does for rows or columns.
"""
import hashlib
import json

import numpy as np

from ..common.arguments import is_path
from ..common.cache import content_hash, feature_key, open_cache
from ..common.progress import progress_bar
from ..common.threads import ThreadPool, check_threads
from ..errors import ImageError
from . import DEFAULT_INPUT_SIZE
from .images import read_picture
from .sequences import MissingImage, is_encoded

SIDE = 16
BITS = 2 * SIDE * SIDE

#: Colours, red, green and blue of 8 x 8 places, that are kept beside the bits.
COLOUR_SIDE = 8
COLOURS = COLOUR_SIDE * COLOUR_SIDE * 3

# Raise the number whenever bits or colours change, so that those kept before are not found again.
_VERSION = "difference hash 2 and colours 1"

# Files that a thread hashes without a break: so few that a Ctrl-C is answered soon.
_AT_ONCE = 8


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
    return picture_hash(read_picture(image, DEFAULT_INPUT_SIZE))


def picture_hash(picture):
    """The bits of a photograph that has been decoded already, see `difference_hash`.

    Parameters
    ----------
    picture : PIL.Image.Image
        As `read_picture` returns it.

    Returns
    -------
    ndarray of bool, shape (512,)
    """
    from PIL import Image
    grey = picture.convert("L")
    rows = np.asarray(grey.resize((SIDE + 1, SIDE), Image.BICUBIC))
    columns = np.asarray(grey.resize((SIDE, SIDE + 1), Image.BICUBIC))
    return np.concatenate([(rows[:, 1:] > rows[:, :-1]).ravel(),
                           (columns[1:] > columns[:-1]).ravel()])


def picture_colours(picture):
    """The mean colours of the places of a photograph that has been decoded already.

    Parameters
    ----------
    picture : PIL.Image.Image
        As `read_picture` returns it.

    Returns
    -------
    ndarray of uint8, shape (192,)
    """
    from PIL import Image
    return np.asarray(picture.resize((COLOUR_SIDE, COLOUR_SIDE), Image.BOX)).ravel()


class KnownContents(object):
    """What files held when they were hashed; finds out which hold something else when they are decoded.

    Sync programs exchange files at any moment: what is computed from the new file must not be kept
    for the old one.

    Parameters
    ----------
    expected : list of bytes or None
        SHA-256 of each; None for what is no file.

    Attributes
    ----------
    changed : set of int
        Positions of files that were not what they were.
    """

    def __init__(self, expected):
        self.expected = expected
        self.changed = set()

    def watch(self, i):
        """The ``see_content`` of `read_picture` for image number `i`; None where there is no hash."""
        if self.expected[i] is None:
            return None

        def see_content(content):
            if content != self.expected[i]:
                self.changed.add(i)
        return see_content


class ImageHashes(object):
    """The hashes of many photographs, for the most part made while others decode them.

    Parameters
    ----------
    images : sequence
        As for `difference_hash`.
    cache : bool, str, Path, FeatureCache or None
        Where the bits of files are kept, by their content.
    threads : int, optional
        Default is the number of processors this process may use.
    input_size : int or (int, int)
        That the photographs are decoded at.
    resize : {"pad", "stretch", "crop"} or Resize
        How they are brought to it, see `read_image`.
    verbose : bool or int, optional
        Show a progress bar. Default: on a terminal and in a notebook.

    Attributes
    ----------
    colours : ndarray of uint8, shape (n, 192)
        See `picture_colours`; zeros until an image is read.
    """

    def __init__(self, images, cache=None, threads=None, input_size=DEFAULT_INPUT_SIZE,
                 resize="pad", verbose=None):
        self._images = images
        self._verbose = verbose
        self._cache = open_cache(cache)
        self._threads = check_threads(threads)
        self._rule = (input_size, resize)
        self._bits = np.zeros((len(images), BITS), bool)
        self.colours = np.zeros((len(images), COLOURS), np.uint8)
        self._known = np.zeros(len(images), bool)
        self._contents = None
        self._changed = set()

    @property
    def contents(self):
        """`image_hash` of each image, read once, when first asked for; list of bytes or None."""
        if self._contents is None:
            self._contents = image_hashes(self._images, self._threads)
        return self._contents

    def see(self, i, picture):
        """Take the bits of image number `i`, which somebody has just decoded by the same rule.

        Parameters
        ----------
        i : int
        picture : PIL.Image.Image
            As `read_picture` returns it.
        """
        self._bits[i] = picture_hash(picture)
        self.colours[i] = picture_colours(picture)
        self._known[i] = True

    def forget(self, positions):
        """Keep no bits of images whose files were changed after they were hashed.

        Parameters
        ----------
        positions : iterable of int
        """
        self._changed.update(positions)

    def complete(self):
        """The bits and the content of all, reading the images that were not seen.

        Returns
        -------
        bits : ndarray of bool, shape (n, 512)
            No bit is set for an image that cannot be read.
        contents : list of bytes or None
            SHA-256 of each file, or of each image's pixels; None where there is nothing to read.
        failures : list of (int, ImageError)
            Positions and reasons of the images that cannot be read.
        """
        keys = self._keys(self.contents)
        kept = self._take_kept(keys)
        missing = np.flatnonzero(~self._known).tolist()
        known = KnownContents(self.contents)
        with ThreadPool(self._threads) as pool, progress_bar(
                len(missing), "Comparing", "image", self._verbose) as bar:
            errors = pool.map(lambda i: self._read(i, known.watch(i)), missing, bar.update)
        self.forget(known.changed)
        failures = [(i, error) for i, error in zip(missing, errors) if error is not None]
        new = [i for i in np.flatnonzero(self._known).tolist()
               if keys[i] and keys[i] not in kept and i not in self._changed]
        if new:
            self._cache.put([keys[i] for i in new],
                            np.hstack([np.packbits(self._bits[new], axis=1), self.colours[new]])
                            .astype(np.float32))
        return self._bits, self.contents, failures

    def _keys(self, contents):
        """The key of each image in the cache, None where it has none."""
        settings = json.dumps([_VERSION, self._rule])
        return [feature_key(content, settings) if self._cache is not None and content
                and is_path(image) else None for image, content in zip(self._images, contents)]

    def _take_kept(self, keys):
        """Fill in what the cache has; the keys that it had."""
        kept = {}
        if self._cache is not None:
            kept = self._cache.get([key for key in keys if key], BITS // 8 + COLOURS)
        for i, key in enumerate(keys):
            if key in kept:
                # The cache keeps floats: one for each eight bits.
                numbers = kept[key].astype(np.uint8)
                self._bits[i] = np.unpackbits(numbers[:BITS // 8])
                self.colours[i] = numbers[BITS // 8:]
                self._known[i] = True
        return kept

    def _read(self, i, see_content):
        """Decode image number `i`; the ImageError if that fails, else None."""
        try:
            self.see(i, read_picture(*((self._images[i],) + self._rule + (see_content,))))
        except ImageError as error:
            # A fresh error: the old one's traceback would keep the pixels alive.
            return ImageError(error.path, error.reason)
        return None


def image_hashes(images, threads):
    """`image_hash` of each image, in threads.

    Parameters
    ----------
    images : sequence
    threads : int

    Returns
    -------
    list of bytes or None
    """
    def hash_some(first):
        return [image_hash(images[i]) for i in range(first, min(first + _AT_ONCE, len(images)))]

    with ThreadPool(threads) as pool:
        parts = pool.map(hash_some, range(0, len(images), _AT_ONCE))
    return [content for part in parts for content in part]


def image_hash(image):
    """SHA-256 of the file, or of the pixels where there is no file.

    Parameters
    ----------
    image : str, Path, bytes, PIL.Image.Image or uint8 ndarray

    Returns
    -------
    bytes or None
        None where nothing can be read.
    """
    if is_path(image):
        return content_hash(str(image))
    if isinstance(image, MissingImage):
        return None
    if is_encoded(image):
        return hashlib.sha256(image).digest()
    try:
        pixels = np.ascontiguousarray(image)
    except Exception:  # a damaged PIL image makes decoders raise nearly anything
        return None
    return hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode("ascii")
                          + pixels.tobytes()).digest()
