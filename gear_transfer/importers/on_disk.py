"""Large arrays kept in a file in place of memory.

The core packs each kernel once, in a layout and a type of its own. What it was packed from is then
hardly read again, so it lies in a temporary file without a name, mapped read-only: its pages take
memory only while they are read.
"""
import mmap
import tempfile
from collections import OrderedDict

import numpy as np

#: Bytes of an array from which the file is worth it.
SMALLEST = 1 << 16


def keep_on_disk(items):
    """Arrays by name, the large ones mapped from a temporary file.

    Parameters
    ----------
    items : iterable of (str, ndarray)
        Taken one by one; an array that was written is not held any longer.

    Returns
    -------
    OrderedDict of str to ndarray
        What cannot be written (a full disk, no folder for temporary files) stays in memory.
    """
    try:
        file = tempfile.TemporaryFile(buffering=0)
    except OSError:
        return OrderedDict(items)
    with file:
        return _keep(file, items)


def give_back(array):
    """Give back the memory of a large array that lies in a file, for it has been read.

    Its pages come again from the file when they are wanted. Does nothing for
    other arrays, nor before Python 3.8.

    Parameters
    ----------
    array : ndarray
    """
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if array.nbytes >= SMALLEST and isinstance(base, mmap.mmap) and advice is not None:
        base.madvise(advice)


def _keep(file, items):
    arrays = OrderedDict()
    places = []
    for name, array in items:
        arrays[name] = array
        place = _write(file, array) if array.nbytes >= SMALLEST else None
        if place is not None:
            arrays[name] = None
            places.append((name, place, array.dtype, array.shape))
    if places:
        # The map holds the file; nothing can write to it or cut it short, for it has no name.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for name, place, dtype, shape in places:
            count = int(np.prod(shape))
            arrays[name] = np.frombuffer(mapped, dtype, count, place).reshape(shape)
    return arrays


def _write(file, array):
    """Append an array on a page of its own; where it begins, or None."""
    try:
        place = file.seek(-(-file.seek(0, 2) // mmap.PAGESIZE) * mmap.PAGESIZE)
        written = file.write(np.ascontiguousarray(array).data)
        return place if written == array.nbytes else None  # a disk may be full half way
    except OSError:
        return None
