"""The layout of safetensors files: a header of JSON, then the tensors.

Sizes are checked against the file's own before anything is read or mapped.
"""
import os
import struct
from collections import OrderedDict

import numpy as np

from ..common.regular_file import open_regular
from ..errors import WeightsError
from .json_text import parse_json

LONGEST_HEADER = 16 << 20
MOST_TENSORS = 1 << 16
HIGHEST_RANK = 6


#: Types of tensors that are read as weights. BF16 is the upper half of float32.
_WEIGHTS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
#: Types of what PyTorch keeps beside them, such as the number of batches seen.
_COUNTERS = {"I64": np.dtype("<i8"), "I32": np.dtype("<i4")}


class TensorFile(object):
    """A safetensors file of PyTorch weights, open for reading; use it in a ``with`` block.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    path : str
    metadata : dict
    shapes : OrderedDict of str to tuple of int
        Of every tensor, in the order of the data.

    Raises
    ------
    WeightsError
        Naming the file, the tensor and what is wrong with it.
    """

    def __init__(self, path):
        self.path = path
        try:
            self._stream = open_regular(path)
        except OSError as error:
            self.fail("cannot be read ({})".format(error.strerror or error))
        try:
            size = os.fstat(self._stream.fileno()).st_size
            text, header = read_header(self._stream, size, self.fail)
            start = len(text)
            metadata = header.pop("__metadata__", {})
            kinds = dict((name, entry.get("dtype")) for name, entry in header.items()
                         if isinstance(entry, dict))
            entries = check_entries(header, size - start, dict(_WEIGHTS, **_COUNTERS), self.fail, 0)
        except BaseException:
            self._stream.close()
            raise
        self.metadata = metadata if isinstance(metadata, dict) else {}
        self.shapes = OrderedDict((entry[2], entry[4]) for entry in entries)
        self._places = dict((entry[2], (start + entry[0], entry[1] - entry[0], kinds[entry[2]]))
                            for entry in entries)

    def fail(self, reason):
        """Raise a WeightsError that names the file."""
        raise WeightsError("{}: {}".format(self.path, reason))

    def array(self, name, shape):
        """A tensor of the shape that it must have, ndarray of float32."""
        if name not in self.shapes:
            self.fail("the tensor '{}' is missing".format(name))
        if self.shapes[name] != tuple(shape):
            self.fail("tensor '{}' has shape {}, expected {}".format(
                name, list(self.shapes[name]), list(shape)))
        place, length, kind = self._places[name]
        if kind not in _WEIGHTS:
            self.fail("tensor '{}' has dtype '{}', expected floating point".format(name, kind))
        try:
            self._stream.seek(place)
            data = self._stream.read(length)
        except OSError as error:
            self.fail("cannot be read ({})".format(error.strerror or error))
        if len(data) != length:
            self.fail("cut short while tensor '{}' was read".format(name))
        values = np.frombuffer(data, _WEIGHTS[kind])
        if kind == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(np.float32).reshape(shape)
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            self.fail("tensor '{}' holds NaN or infinity".format(name))
        return values

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stream.close()


def read_metadata(path):
    """The metadata of a file, as its header has them.

    Parameters
    ----------
    path : str

    Returns
    -------
    dict or None
        Empty where there are none; None where the header cannot be read.
    """
    def fail(reason):
        raise WeightsError(reason)

    try:
        with open_regular(path) as stream:
            header = read_header(stream, os.fstat(stream.fileno()).st_size, fail)[1]
    except (OSError, WeightsError):
        return None
    metadata = header.get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def read_header(stream, size, fail):
    """What lies before the data of a safetensors file, and the header parsed.

    Parameters
    ----------
    stream : binary file
    size : int
        Of the file.
    fail : callable
        ``fail(reason)`` raises the error.

    Returns
    -------
    text : bytes
        The length and the header as they stand in the file.
    header : OrderedDict
    """
    lead = stream.read(8)
    if len(lead) < 8:
        fail("cut short: it has only {} bytes".format(size))
    length = struct.unpack("<Q", lead)[0]
    if length > LONGEST_HEADER:
        fail("its header claims {} bytes, at most {} are allowed; not a "
             "safetensors file".format(length, LONGEST_HEADER))
    if length > size - 8:
        fail("cut short: its header claims {} bytes, {} are there".format(length, size - 8))
    text = stream.read(length)
    header = parse_json(text, fail, "header")
    if not isinstance(header, dict):
        fail("its header is not a JSON object")
    return lead + text, header


def is_size(value):
    """Whether a value of JSON is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def check_entries(header, data_size, dtypes, fail, lowest_rank=1):
    """What the header says of every tensor, in the order of the data.

    The tensors must cover the data exactly, without gap or overlap.

    Parameters
    ----------
    header : dict
        Without ``__metadata__``.
    data_size : int
        Bytes behind the header.
    dtypes : dict of str to dtype
        The types that are read, by their names in the file.
    fail : callable
        ``fail(reason)`` raises the error.
    lowest_rank : int
        0 where a tensor may be a single number.

    Returns
    -------
    list of (start, end, name, dtype, shape)
    """
    if len(header) > MOST_TENSORS:
        fail("has {} tensors, at most {} are allowed".format(len(header), MOST_TENSORS))
    entries = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            fail("tensor '{}' must have dtype, shape and data_offsets".format(name))
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(kind, str) or kind not in dtypes:
            fail("tensor '{}' has dtype {!r}, only {} are read".format(
                name, kind, ", ".join(sorted(dtypes))))
        if (not isinstance(shape, list) or not lowest_rank <= len(shape) <= HIGHEST_RANK
                or not all(is_size(side) and side > 0 for side in shape)):
            fail("tensor '{}' has shape {!r}".format(name, shape))
        if (not isinstance(offsets, list) or len(offsets) != 2
                or not all(is_size(offset) for offset in offsets)):
            fail("tensor '{}' has data_offsets {!r}".format(name, offsets))
        needed = dtypes[kind].itemsize
        for side in shape:
            needed *= side
        if offsets[1] - offsets[0] != needed:
            fail("tensor '{}' of shape {} takes {} bytes, its data_offsets span {}".format(
                name, shape, needed, offsets[1] - offsets[0]))
        entries.append((offsets[0], offsets[1], name, dtypes[kind], tuple(shape)))
    entries.sort(key=lambda item: item[:2])
    position = 0
    for first, last, name, _, _ in entries:
        if last > data_size:
            fail("cut short: tensor '{}' ends at byte {} of the data, {} are there".format(
                name, last, data_size))
        if first != position:
            fail("tensor '{}' begins at byte {} of the data, expected {} ({})".format(
                name, first, position, "gap" if first > position else "overlap"))
        position = last
    if position != data_size:
        fail("{} bytes lie behind the last tensor".format(data_size - position))
    return entries
