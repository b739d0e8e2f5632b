"""Decoding images in threads, a few batches ahead of whoever uses them."""
import collections
import itertools

import numpy as np

from ..common.arguments import check_whole_number
from ..common.threads import ThreadPool, available_cpus, result_of
from ..errors import ImageError
from .decoding import as_resize
from .images import centred_on_white, read_picture, size_pair
from .sequences import check_images, listed

_Pending = collections.namedtuple("_Pending", ["start", "pixels", "futures"])


def iterate_batches(images, input_size, resize="pad", batch_size=32, workers=None, ahead=None,
                    augmentation=None, see=None, contents=None):
    """Decode images in batches, in order, while earlier batches are being used.

    Wrap it in ``contextlib.closing`` where the loop may be left early: closing
    drops what waits and ends the threads at once.

    Parameters
    ----------
    images : sequence of str, pathlib.Path, PIL.Image.Image or uint8 ndarray
        As `read_image` takes them; a uint8 array (n, h, w, 3) is such a sequence.
    input_size : int or (int, int)
        Side of a square, or height and width, in pixels.
    resize : {"pad", "stretch", "crop"} or Resize
        See `read_image`.
    batch_size : int
        Images in a batch; the last may be smaller.
    workers : int, optional
        Threads that decode. Default: the CPUs this process may use.
    ahead : int, optional
        How many batches, at most, are decoded or being decoded beyond the one
        that was handed out last. Default 2.
    augmentation : Augmentation, optional
        Make views of each image in place of the image itself.
    see : callable, optional
        Called in the decoding thread with the position of every image that can be read and
        what `read_picture` made of it; not with an augmentation.
    contents : KnownContents, optional
        What the files held when they were hashed; is told what they hold now.

    Returns
    -------
    batches : generator of (indices, pixels, failures)
        indices : int ndarray of shape (n,), positions in `images` of what was read.
        pixels : uint8 ndarray of shape (n, height, width, 3), or (n, views, height, width, 3).
        failures : list of (int, ImageError), the positions that cannot be read.

    Raises
    ------
    TypeError, ValueError
        An argument makes no sense.
    """
    images = check_images(listed(images))
    size = size_pair(input_size)
    as_resize(resize)
    workers = available_cpus() if workers is None else workers
    ahead = 2 if ahead is None else ahead
    for name, value in (("batch_size", batch_size), ("workers", workers), ("ahead", ahead)):
        check_whole_number(name, value)
    shape = size + (3,) if augmentation is None else (augmentation.views,) + size + (3,)

    def read(i):
        see_content = None if contents is None else contents.watch(i)
        watching = {} if see_content is None else {"see_content": see_content}
        if augmentation is not None:
            return augmentation.views_of(images[i], size, resize, **watching)
        picture = read_picture(images[i], size, resize, **watching)
        if see is not None:
            see(i, picture)
        return centred_on_white(picture, size)

    return _generate(read, len(images), shape, batch_size, workers, ahead)


def _generate(read, n_images, shape, batch_size, workers, ahead):
    pending = collections.deque()
    starts = iter(range(0, n_images, batch_size))

    def submit(pool, count):
        for start in itertools.islice(starts, count):
            n = min(batch_size, n_images - start)
            pixels = np.empty((n,) + shape, dtype=np.uint8)
            pending.append(_Pending(start, pixels, [
                pool.submit(_read_into, pixels, row, read, start + row) for row in range(n)]))

    with ThreadPool(workers) as pool:
        submit(pool, ahead)
        while pending:
            batch = _collect(pending[0])
            pending.popleft()
            submit(pool, 1)
            yield batch
            batch = None  # else it would stay in memory while the next one is waited for


def _read_into(pixels, row, read, i):
    pixels[row] = read(i)


def _collect(batch):
    """Wait for a batch and leave out the images that cannot be read."""
    failures = []
    good = []
    for row, future in enumerate(batch.futures):
        try:
            result_of(future)
            good.append(row)
        except ImageError as error:
            # A fresh error: the old one's traceback would keep the pixels alive.
            failures.append((batch.start + row, ImageError(error.path, error.reason)))
    pixels = batch.pixels[good] if failures else batch.pixels
    return batch.start + np.array(good, dtype=int), pixels, failures
