"""Files read so that nobody else can change what was read; large arrays kept in a file, not memory.

The core packs each kernel once, in a layout and a type of its own. What it was packed from is then
hardly read again, so it lies in a temporary file without a name, mapped read-only: its pages take
memory only while they are read.
"""
import io
import mmap
import tempfile
import zlib
from collections import OrderedDict

import numpy as np

#: Bytes of an array from which the file is worth it.
SMALLEST = 1 << 16

#: Bytes from which a file is copied to another file and not to memory.
LARGEST_IN_MEMORY = 4 << 20

_CHUNK = 1 << 20


def copy_privately(stream, size, crc=0):
    """Copy the next bytes of a file to where nobody else can change them or cut them short.

    Parameters
    ----------
    stream : file
    size : int
    crc : int
        The CRC-32 of what was read before.

    Returns
    -------
    data : buffer
        Mapped from a file without a name where it is large and can be written, else in memory.
    crc : int
        With that of these bytes.

    Raises
    ------
    OSError
        Also if there are fewer bytes.
    """
    place = stream.tell()
    if size >= LARGEST_IN_MEMORY:
        try:
            return _copy_to_file(stream, size, crc)
        except OSError:  # a full disk, no folder for temporary files
            stream.seek(place)
    data = np.empty(size, np.uint8)
    if stream.readinto(data.data) != size:
        raise OSError("it became shorter while it was read")
    data.setflags(write=False)
    return data, zlib.crc32(data, crc)


def private_file(chunks):
    """A file without a name that holds these bytes, which nobody else can change.

    Parameters
    ----------
    chunks : iterable of bytes

    Returns
    -------
    file
        Open for reading, at its beginning. A small one is in memory.

    Raises
    ------
    OSError
        If there is no room for it.
    """
    file = io.BytesIO()
    try:
        for chunk in chunks:
            if isinstance(file, io.BytesIO) and file.tell() + len(chunk) > LARGEST_IN_MEMORY:
                file = _moved_to_disk(file)
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _moved_to_disk(memory):
    file = tempfile.TemporaryFile()
    file.write(memory.getvalue())
    return file


def _copy_to_file(stream, size, crc):
    with tempfile.TemporaryFile(buffering=0) as file:
        for start in range(0, size, _CHUNK):
            chunk = stream.read(min(_CHUNK, size - start))
            if file.write(chunk) < min(_CHUNK, size - start):
                raise OSError("it cannot be copied")
            crc = zlib.crc32(chunk, crc)
        # The map holds the file, which has no name.
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), crc


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
