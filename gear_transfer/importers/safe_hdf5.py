"""Reading numeric data sets from an HDF5 file that nobody vouches for.

Only hard links are followed, at every step of a path. A data set must be
plain numbers, stored in the file itself, unfiltered or with the filters that
HDF5 always has, and its size must agree with what is stored before memory is
taken for it.
"""
import os
import struct
import zlib
from collections import namedtuple

import numpy as np

from ..errors import WeightsError
from .hdf5_structure import (DATASPACE, DATATYPE, EXTERNAL_FILES, FILTERS, LAYOUT, UNDEFINED,
                             Structure, number_type, product)

#: All arrays of one file may take twice the bytes of the file and these.
SPARE_TOTAL = 48 << 20
#: A chunk may be larger than its data set up to this many bytes.
LARGEST_CHUNK = 8 << 20
#: Most chunks in one data set.
MOST_CHUNKS = 1 << 16
#: Most parts that a list of names may be split into.
MOST_ATTRIBUTE_PARTS = 1 << 10

COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = 0, 1, 2, 3
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3

#: A group or data set: the address of its header.
Member = namedtuple("Member", "address")


class SafeHDF5(object):
    """A read-only HDF5 file under the rules above; a context manager.

    Parameters
    ----------
    path : str
    stream : file, optional
        What is read, where it lies inside the file of that name; closed in the end.

    Raises
    ------
    WeightsError
        If the file is missing, cut short or not HDF5.
    """

    def __init__(self, path, stream=None):
        self.path = str(path)
        self._stored = 0
        self._total = 0
        try:
            self._file = open(self.path, "rb") if stream is None else stream
        except OSError as error:
            self.fail("cannot be read ({})".format(error.strerror or error))
        self.file_size = self._file.seek(0, os.SEEK_END)
        self._structure = Structure(self._file, self.file_size, self.fail)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._file.close()
        # What a damaged structure leads to, wherever it shows.
        if isinstance(error, (struct.error, IndexError, OSError, OverflowError)):
            self.fail("cannot be read as an HDF5 file, it may be cut short or damaged "
                      "({})".format(error))

    def fail(self, reason):
        """Raise WeightsError with the name of the file."""
        raise WeightsError("{}: {}".format(self.path, reason))

    def root(self):
        """The root group."""
        return Member(self._structure.root())

    def member(self, group, path):
        """The object at `path` below `group`, reached over hard links only.

        Parameters
        ----------
        group : Member
        path : str

        Returns
        -------
        Member, or None where nothing has that name
        """
        found = group
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if not self._structure.is_group(found.address):
                return None
            links = self._structure.links(found.address)
            if part not in links:
                return None
            if links[part] is None:
                self.fail("'{}' is a soft or external link, which is not followed".format(path))
            found = Member(links[part])
        return found

    def group(self, group, path):
        """As `member`, but None where the object is not a group."""
        found = self.member(group, path)
        is_group = found is not None and self._structure.is_group(found.address)
        return found if is_group else None

    def attribute(self, thing, name):
        """A text attribute of a group, str, or None where there is none."""
        texts = self._structure.attribute(thing.address, name)
        if texts is None:
            return None
        if len(texts) != 1:
            self.fail("attribute '{}' is a list, expected one text".format(name))
        return texts[0]

    def names(self, thing, name):
        """A list of texts in an attribute, list of str, or None.

        A long list lies in several attributes, `name` with 0, 1, ... behind
        it, as Keras writes it.
        """
        texts = self._structure.attribute(thing.address, name)
        for index in range(MOST_ATTRIBUTE_PARTS if texts is None else 0):
            part = self._structure.attribute(thing.address, "{}{}".format(name, index))
            if part is None:
                break
            texts = (texts or []) + part
        return texts

    def array(self, dataset, what, shape=None):
        """The numbers in a data set.

        Parameters
        ----------
        dataset : Member
        what : str
            Name for messages, such as "layer 'conv2d_1': kernel".
        shape : tuple of int, optional
            The shape it must have.

        Returns
        -------
        ndarray of float32, C-contiguous

        Raises
        ------
        WeightsError
            If the data set breaks a rule, has another shape, or holds NaN
            or infinity.
        """
        if not self._structure.is_dataset(dataset.address):
            self.fail("{} is not a data set".format(what))
        found = self.shape(dataset, what)
        if shape is not None and found != tuple(shape):
            self.fail("{} has shape {}, expected {}".format(what, found, tuple(shape)))
        kind = self._number_type(dataset, what)
        if product(found) == 0:
            self.fail("{} is empty".format(what))
        try:
            values = self._read_values(dataset, what, found, kind)
        except MemoryError:
            self.fail("{} does not fit into memory".format(what))
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            self.fail("{} holds NaN or infinity".format(what))
        return values

    def shape(self, dataset, what):
        """The shape of a data set, tuple of int; for the parameters see `array`."""
        body = self._structure.message(dataset.address, DATASPACE)
        shape = None if body is None else self._structure.shape(body)
        if shape is None:
            self.fail("{} has no values".format(what))
        return shape

    def _number_type(self, dataset, what):
        body = self._structure.message(dataset.address, DATATYPE)
        kind = None if body is None else number_type(self._structure.data_type(body))
        if kind is None:
            self.fail("{} is not a data set of plain numbers".format(what))
        return kind

    def _read_values(self, dataset, what, shape, kind):
        """The values as float32, once the storage is as it must be."""
        layout = self._structure.message(dataset.address, LAYOUT)
        version, storage = struct.unpack_from("<BB", layout)
        if version >= 4 and storage == VIRTUAL:
            self.fail("{} is a virtual data set, which is not read".format(what))
        if self._structure.message(dataset.address, EXTERNAL_FILES) is not None:
            self.fail("{} is stored in another file, which is not read".format(what))
        if version not in (3, 4) or storage > CHUNKED or version == 4 and storage == CHUNKED:
            self.fail("{} has a layout that is not read (version {}, class {}); write the file "
                      "with h5py's default settings".format(what, version, storage))
        filters = self._filters(dataset, what)
        if storage == CHUNKED:
            rank, tree = struct.unpack_from("<BQ", layout, 2)
            sides = struct.unpack_from("<{}I".format(rank), layout, 11)
            return self._read_chunks(what, shape, kind, tree, sides, filters)
        size = product(shape) * kind.itemsize
        if storage == COMPACT:
            data = layout[4:4 + struct.unpack_from("<H", layout, 2)[0]]
            self._account(what, size, len(data), product(shape))
            return _float32(np.frombuffer(data[:size], kind)).reshape(shape)
        address, stored = struct.unpack_from("<QQ", layout, 2)
        self._account(what, size, 0 if address == UNDEFINED else stored, product(shape))
        self._structure.check_place(address, size)
        self._file.seek(address)
        values = np.empty(shape, kind)
        if self._file.readinto(values.reshape(-1).view(np.uint8)) < size:
            self.fail("became shorter while it was read")
        return _float32(values)

    def _account(self, what, size, stored, count):
        """The stored bytes must hold the array, and the file all that are stored."""
        if size > stored:
            self.fail("{} claims {} bytes but only {} are stored".format(what, size, stored))
        self._take(what, stored, count)

    def _take(self, what, stored, count):
        """Count an array before memory is taken for it."""
        self._stored += stored
        self._total += 4 * count
        if self._stored > self.file_size:
            self.fail("{} claims more bytes than the file has, it may be cut short".format(what))
        if self._total > 2 * self.file_size + SPARE_TOTAL:
            self.fail("the arrays take {} bytes, too many for a file of {}".format(
                self._total, self.file_size))

    # Data sets in chunks

    def _filters(self, dataset, what):
        """Numbers of the filters in the order in which they were applied."""
        body = self._structure.message(dataset.address, FILTERS)
        if body is None:
            return []
        version, count = struct.unpack_from("<BB", body)
        place = 8 if version == 1 else 2
        filters = []
        for _ in range(count):
            code, name = struct.unpack_from("<HH", body, place)
            if code not in (DEFLATE, SHUFFLE, FLETCHER32):
                self.fail("{} uses the HDF5 filter number {}, only gzip, shuffle and fletcher32 "
                          "are read".format(what, code))
            if code in filters:
                self.fail("{} uses one HDF5 filter twice".format(what))
            filters.append(code)
            place += 4 if version == 1 else 2  # short numbers have no name in version 2
            values = struct.unpack_from("<H", body, place + 2)[0]
            place += 4 + 4 * values
            if version == 1:
                place += -(-name // 8) * 8 + 4 * (values % 2)
        return filters

    def _read_chunks(self, what, shape, kind, tree, sides, filters):
        steps = sides[:-1]
        if len(steps) != len(shape) or not shape or 0 in steps or sides[-1] != kind.itemsize:
            self.fail("{} has chunks of the shape {}, which does not fit".format(what, sides))
        chunk_size = product(sides)
        if chunk_size > max(LARGEST_CHUNK, product(shape) * kind.itemsize):
            self.fail("{} has chunks of {} bytes, too large".format(what, chunk_size))
        grid = [-(-side // step) for side, step in zip(shape, steps)]
        if product(grid) > MOST_CHUNKS:
            self.fail("{} has {} chunks, too many".format(what, product(grid)))
        self._take(what, 0, product(shape))
        places = {}
        if tree != UNDEFINED:
            self._find_chunks(what, tree, len(steps), places)
        wanted = [tuple(i * step for i, step in zip(index, steps)) for index in np.ndindex(*grid)]
        missing = [offset for offset in wanted if offset not in places]
        if missing:
            self.fail("{} has no stored chunk at {}".format(what, missing[0]))
        values = np.empty(shape, np.float32)
        for offset in wanted:
            stored, mask, address = places[offset]
            self._take(what, stored, 0)
            data = self._structure.read(address, stored)
            data = _unfilter(data, mask, filters, kind.itemsize, chunk_size)
            if data is None:
                self.fail("{} has a damaged chunk, or one that expands beyond its size".format(what))
            part = tuple(slice(start, start + step) for start, step in zip(offset, steps))
            inside = tuple(slice(0, side - start) for start, side in zip(offset, shape))
            values[part] = _float32(np.frombuffer(data, kind)).reshape(steps)[inside]
        return values

    def _find_chunks(self, what, tree, rank, places):
        """Walk the B-tree of a data set: stored bytes, filter mask and address by offset."""
        key = 16 + 8 * rank
        waiting = [tree]
        while waiting:
            address = waiting.pop()
            head = self._structure.read(address, 8)
            if head[:5] != b"TREE\1":
                self.fail("{} has a damaged index of its chunks".format(what))
            level, count = struct.unpack_from("<BH", head, 5)
            entries = self._structure.read(address + 24, count * (key + 8))
            for i in range(count):
                place = i * (key + 8)
                child = struct.unpack_from("<Q", entries, place + key)[0]
                if level > 0:
                    waiting.append(child)
                    continue
                offset = struct.unpack_from("<{}Q".format(rank), entries, place + 8)
                self._structure.spend(0)
                places[offset] = struct.unpack_from("<II", entries, place) + (child,)


def _float32(values):
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def _unfilter(data, mask, filters, item_size, size):
    """The bytes of a chunk as they were before the filters; None where it is damaged."""
    for i, code in reversed(list(enumerate(filters))):
        if mask >> i & 1:
            continue
        if code == DEFLATE:
            inflater = zlib.decompressobj()
            try:
                data = inflater.decompress(data, size + 5)  # a checksum may lie inside the stream
            except zlib.error:
                return None
            if not inflater.eof:
                return None
        elif code == FLETCHER32:
            data, checksum = data[:-4], data[-4:]
            if checksum != struct.pack("<I", _fletcher32(data)):
                return None
        elif len(data) % item_size == 0:
            data = np.frombuffer(data, np.uint8).reshape(item_size, -1).T.tobytes()
    return data if len(data) == size else None


def _fletcher32(data):
    """HDF5's checksum: Fletcher's over big-endian words of 16 bits, an odd byte being a high one."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    low = int(words.sum()) if len(words) else 0
    high = int((words * np.arange(len(words), 0, -1, dtype=np.uint64)).sum()) if len(words) else 0
    return _ones_complement(high) << 16 | _ones_complement(low)


def _ones_complement(number):
    """The sum modulo 65535, where a multiple of it that is not zero is 65535."""
    return (number - 1) % 65535 + 1 if number else 0
