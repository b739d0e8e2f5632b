"""Reading numeric data sets from an HDF5 file that nobody vouches for.

Only hard links are followed, at every step of a path. A data set must be
plain numbers, stored in the file itself, unfiltered or with the filters that
HDF5 always has, and its size must agree with what is stored before memory is
taken for it.
"""
import os
import zlib

import numpy as np

from ..errors import WeightsError

SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Most bytes that all arrays of one file may take.
LARGEST_TOTAL = 4 << 30
#: A chunk may be larger than its data set up to this many bytes.
LARGEST_CHUNK = 16 << 20
#: Most chunks in one data set, most values in one attribute, most parts of one attribute.
MOST_CHUNKS = 1 << 18
MOST_ATTRIBUTE_VALUES = 1 << 16
MOST_ATTRIBUTE_PARTS = 1 << 10
#: Deflate cannot expand further than this.
DEFLATE_RATIO = 1032


def _product(numbers):
    result = 1
    for number in numbers:
        result *= int(number)
    return result


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class SafeHDF5(object):
    """A read-only HDF5 file under the rules above; a context manager.

    Parameters
    ----------
    path : str

    Raises
    ------
    WeightsError
        If the file is missing, cut short or not HDF5.
    """

    def __init__(self, path):
        import h5py

        self._h5py = h5py
        self.path = str(path)
        self._stored = 0
        self._total = 0
        try:
            self.file_size = os.path.getsize(self.path)
            self._file = h5py.File(self.path, "r")
        except (OSError, RuntimeError, ValueError) as error:
            raise WeightsError("{}: cannot be read as an HDF5 file, it may be cut short or "
                               "damaged ({})".format(self.path, error))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._file.close()

    def fail(self, reason):
        """Raise WeightsError with the name of the file."""
        raise WeightsError("{}: {}".format(self.path, reason))

    def root(self):
        """The root group."""
        return self._file

    def member(self, group, path):
        """The object at `path` below `group`, reached over hard links only.

        Parameters
        ----------
        group : h5py.Group
        path : str

        Returns
        -------
        h5py.Group or h5py.Dataset, or None where nothing has that name
        """
        found = group
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if not isinstance(found, self._h5py.Group):
                return None
            try:
                link = found.get(part, getlink=True)
            except (KeyError, RuntimeError, ValueError):
                return None
            if link is None:
                return None
            if not isinstance(link, self._h5py.HardLink):
                self.fail("'{}' is a soft or external link, which is not followed".format(path))
            try:
                found = found[part]
            except (KeyError, OSError, RuntimeError, ValueError) as error:
                self.fail("'{}' cannot be read ({})".format(path, error))
        return found

    def group(self, group, path):
        """As `member`, but None where the object is not a group."""
        found = self.member(group, path)
        return found if isinstance(found, self._h5py.Group) else None

    def attribute(self, thing, name):
        """A text attribute of a group, str, or None where there is none."""
        value = self._raw_attribute(thing, name)
        if value is None:
            return None
        if isinstance(value, np.ndarray):
            if value.size != 1:
                self.fail("attribute '{}' is a list, expected one text".format(name))
            value = value.reshape(-1)[0]
        return _text(value)

    def names(self, thing, name):
        """A list of texts in an attribute, list of str, or None.

        A long list lies in several attributes, `name` with 0, 1, ... behind
        it, as Keras writes it.
        """
        value = self._raw_attribute(thing, name)
        if value is not None:
            return [_text(item) for item in np.asarray(value).reshape(-1)]
        result = None
        for index in range(MOST_ATTRIBUTE_PARTS):
            value = self._raw_attribute(thing, "{}{}".format(name, index))
            if value is None:
                break
            result = (result or []) + [_text(item) for item in np.asarray(value).reshape(-1)]
        return result

    def _raw_attribute(self, thing, name):
        try:
            if name not in thing.attrs:
                return None
            stored = self._h5py.h5a.open(thing.id, name.encode("utf-8"))
            count = _product(stored.shape)
            size = count * stored.get_type().get_size()
            if count > MOST_ATTRIBUTE_VALUES or size > self.file_size:
                self.fail("attribute '{}' claims {} values of {} bytes together".format(
                    name, count, size))
            return thing.attrs[name]
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, WeightsError):
                raise
            self.fail("attribute '{}' cannot be read ({})".format(name, error))

    def array(self, dataset, what, shape=None):
        """The numbers in a data set.

        Parameters
        ----------
        dataset : h5py.Dataset
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
        if not isinstance(dataset, self._h5py.Dataset):
            self.fail("{} is not a data set".format(what))
        try:
            found = dataset.shape
            if shape is not None and (found is None or tuple(found) != tuple(shape)):
                self.fail("{} has shape {}, expected {}".format(what, found, tuple(shape)))
            self._check_storage(dataset, what)
            with np.errstate(over="ignore"):
                values = np.ascontiguousarray(dataset[()], dtype=np.float32)
        except MemoryError:
            self.fail("{} does not fit into memory".format(what))
        except (OSError, KeyError, RuntimeError, TypeError, ValueError, zlib.error) as error:
            if isinstance(error, WeightsError):
                raise
            self.fail("{} cannot be read, the file may be cut short or damaged ({})".format(
                what, error))
        if values.size == 0:
            self.fail("{} is empty".format(what))
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            self.fail("{} holds NaN or infinity".format(what))
        return values.reshape(found)

    def _check_storage(self, dataset, what):
        """Refuse what is not plain numbers of a believable size in this file."""
        h5d, h5t, h5z = self._h5py.h5d, self._h5py.h5t, self._h5py.h5z
        kind = dataset.id.get_type()
        if kind.get_class() not in (h5t.FLOAT, h5t.INTEGER) or kind.get_size() > 8:
            self.fail("{} is not a data set of plain numbers".format(what))
        if dataset.shape is None:
            self.fail("{} has no values".format(what))
        properties = dataset.id.get_create_plist()
        layout = properties.get_layout()
        if layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
            self.fail("{} is a virtual data set, which is not read".format(what))
        if properties.get_external_count() > 0:
            self.fail("{} is stored in another file, which is not read".format(what))
        filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
        for code in filters:
            if code not in (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32):
                self.fail("{} uses the HDF5 filter number {}, only gzip, shuffle and fletcher32 "
                          "are read".format(what, code))
        if len(set(filters)) < len(filters):
            self.fail("{} uses one HDF5 filter twice".format(what))
        deflate = filters.index(h5z.FILTER_DEFLATE) if h5z.FILTER_DEFLATE in filters else None
        self._check_size(dataset, what, kind.get_size(), deflate is not None)
        if layout == h5d.CHUNKED:
            self._check_chunks(dataset, what, kind.get_size(), deflate)

    def _check_size(self, dataset, what, item_size, deflated):
        """The stored bytes must account for the array, and all of them fit in the file."""
        size = _product(dataset.shape) * item_size
        stored = int(dataset.id.get_storage_size())
        self._stored += stored
        self._total += _product(dataset.shape) * max(item_size, 4)
        if self._stored > self.file_size:
            self.fail("{} claims more bytes than the file has, it may be cut short".format(what))
        if size > stored * (DEFLATE_RATIO if deflated else 1):
            self.fail("{} claims {} bytes but only {} are stored".format(what, size, stored))
        if self._total > LARGEST_TOTAL:
            self.fail("the arrays take more than {} bytes".format(LARGEST_TOTAL))

    def _check_chunks(self, dataset, what, item_size, deflate):
        """Bound the memory that HDF5 takes for one chunk.

        HDF5 grows its buffer for as long as the compressed stream goes on,
        so every stream is followed here once, in small pieces, to its end.
        """
        chunk_size = _product(dataset.chunks) * item_size
        if chunk_size > max(LARGEST_CHUNK, _product(dataset.shape) * item_size):
            self.fail("{} has chunks of {} bytes, too large".format(what, chunk_size))
        grid = [-(-side // step) for side, step in zip(dataset.shape, dataset.chunks)]
        if _product(grid) > MOST_CHUNKS:
            self.fail("{} has {} chunks, too many".format(what, _product(grid)))
        limit = chunk_size + 4  # a checksum of four bytes may lie inside the stream
        for index in np.ndindex(*grid) if deflate is not None else ():
            offset = tuple(i * step for i, step in zip(index, dataset.chunks))
            skipped, stream = dataset.id.read_direct_chunk(offset)
            if not skipped >> deflate & 1 and not _inflates_within(stream, limit):
                self.fail("{} has a chunk that expands beyond its size".format(what))


def _inflates_within(stream, limit):
    """Whether a zlib stream ends within `limit` bytes of output."""
    inflater = zlib.decompressobj()
    produced = 0
    while not inflater.eof:
        piece = inflater.decompress(stream, 1 << 18)
        stream = inflater.unconsumed_tail
        produced += len(piece)
        if produced > limit:
            return False
        if not piece and not stream:
            break
    return True
