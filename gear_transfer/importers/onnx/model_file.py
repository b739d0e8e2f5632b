"""An ONNX file opened: parsed by the package onnx, its sizes looked at before memory is taken.

Weights in a second file are read one tensor at a time, from a regular file of a plain name in the
folder of the first, and only what lies within it.
"""
import os
import stat

import numpy as np

from ...common.regular_file import check_regular, open_regular
from ...errors import WeightsError

#: Protocol buffers end here.
LARGEST_FILE = (1 << 31) - 1
MOST_NODES = 100000
MOST_TENSORS = 100000
HIGHEST_RANK = 8
OLDEST_OPSET = 7

#: Types of numbers that are read: their number in the file, their name, how they are stored, and
#: how many of a field of the file they take.
_BFLOAT16 = 16
_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64,
          9: np.bool_, 10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64,
          _BFLOAT16: np.uint16}
#: The first bytes of fields that may follow the version of the format.
_SECOND_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"


def looks_like_onnx(path, head):
    """Whether a file may be an ONNX model, told by its first bytes or its ending.

    Protocol buffers have no mark of their own; nearly every writer puts the version of the format
    first.
    """
    return str(path).lower().endswith(".onnx") or (
        len(head) > 2 and head[0] == 8 and 1 <= head[1] <= 32 and head[2] in _SECOND_FIELDS)


def parse(path):
    """The model of a file, without the weights beside it.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    WeightsError
        If the package onnx is missing, or the file is damaged or too large.
    """
    try:
        from onnx import ModelProto
    except ImportError:
        raise WeightsError("{}: ONNX files are read with the package onnx, which is missing: "
                           "pip install onnx".format(path))
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > LARGEST_FILE:
            raise WeightsError("{}: has {} bytes, an ONNX file holds at most {}; export its weights "
                               "to a file beside it".format(path, size, LARGEST_FILE))
        data = stream.read(size)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # of the library of protocol buffers, by version
        raise WeightsError("{}: not an ONNX model, or damaged ({})".format(
            path, " ".join(str(error).split()) or type(error).__name__))
    if not model.graph.node or not model.graph.input:
        raise WeightsError("{}: not an ONNX model, or damaged (it has no graph)".format(path))
    return model


def opset_of(model, fail):
    """The version of the standard operators that a model uses."""
    version = 1
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            version = entry.version
    if version < OLDEST_OPSET:
        fail("uses version {} of ONNX's operators, from {} on they are read; export it anew".format(
            version, OLDEST_OPSET))
    return version


class Tensors(object):
    """Reads tensors of a model, also from files beside it.

    Parameters
    ----------
    path : str
        Of the model.
    fail : callable
        ``fail(reason)`` raises the error.
    """

    def __init__(self, path, fail):
        self.folder = os.path.dirname(os.path.abspath(path))
        self.fail = fail
        self._files = {}

    def close(self):
        """Close the files beside the model."""
        for stream, _ in self._files.values():
            stream.close()
        self._files = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def array(self, tensor):
        """The values of a TensorProto, as a view where they lie in memory already.

        Returns
        -------
        ndarray
        """
        dtype = _TYPES.get(tensor.data_type)
        if dtype is None:
            self.fail("tensor '{}' has type {} of numbers, which is not read{}".format(
                tensor.name, tensor.data_type,
                " (8 bit floats and 4 bit integers are of quantised networks)"
                if tensor.data_type >= 17 else ""))
        shape = tuple(tensor.dims)
        if len(shape) > HIGHEST_RANK or any(side < 0 for side in shape):
            self.fail("tensor '{}' has shape {}".format(tensor.name, shape))
        count = 1
        for side in shape:
            count *= side
        values = self._values(tensor, np.dtype(dtype), count)
        if len(values) != count:
            self.fail("tensor '{}' of shape {} needs {} numbers, it has {}".format(
                tensor.name, shape, count, len(values)))
        values = values.reshape(shape)
        if tensor.data_type == _BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values

    def _values(self, tensor, dtype, count):
        if tensor.data_location == 1:
            return self._external(tensor, dtype, count)
        if tensor.raw_data:
            if len(tensor.raw_data) != count * dtype.itemsize:
                self.fail("tensor '{}' of shape {} takes {} bytes, it has {}".format(
                    tensor.name, tuple(tensor.dims), count * dtype.itemsize, len(tensor.raw_data)))
            return np.frombuffer(tensor.raw_data, dtype.newbyteorder("<"))
        if tensor.data_type == 1:
            return np.array(tensor.float_data, np.float32)
        if tensor.data_type == 11:
            return np.array(tensor.double_data, np.float64)
        if tensor.data_type == 7:
            return np.array(tensor.int64_data, np.int64)
        if tensor.data_type in (12, 13):
            return np.array(tensor.uint64_data, np.uint64).astype(dtype)
        values = np.array(tensor.int32_data, np.int64)
        if tensor.data_type in (10, _BFLOAT16):
            values = values.astype(np.uint16)
            return values.view(np.float16) if tensor.data_type == 10 else values
        return values.astype(dtype)

    def _external(self, tensor, dtype, count):
        entries = dict((entry.key, entry.value) for entry in tensor.external_data)
        location = entries.get("location", "")
        numbers = []
        for key, otherwise in (("offset", "0"), ("length", str(count * dtype.itemsize))):
            text = entries.get(key, otherwise)
            if not isinstance(text, str) or not text.isdecimal() or len(text) > 18:
                self.fail("tensor '{}' has the {} {!r} in the file beside the model".format(
                    tensor.name, key, text))
            numbers.append(int(text))
        offset, length = numbers
        if length != count * dtype.itemsize:
            self.fail("tensor '{}' of shape {} takes {} bytes, {} are named in the file beside the "
                      "model".format(tensor.name, tuple(tensor.dims), count * dtype.itemsize, length))
        stream, size = self._beside(location, tensor.name)
        if offset + length > size:
            self.fail("tensor '{}' ends at byte {} of the file '{}', which has {}; is it cut "
                      "short?".format(tensor.name, offset + length, location, size))
        stream.seek(offset)
        values = np.empty(length, np.uint8)
        if stream.readinto(values.data) != length:
            self.fail("the file '{}' became shorter while it was read".format(location))
        return values.view(dtype.newbyteorder("<"))

    def _beside(self, location, tensor):
        """The open file of that name and its size."""
        if location in self._files:
            return self._files[location]
        if (not location or not isinstance(location, str) or location in (".", "..") or "\0" in location or "/" in location
                or "\\" in location):
            self.fail("tensor '{}' is said to lie in the file {!r}; only a file of a plain name in "
                      "the folder of the model is read".format(tensor, location))
        path = os.path.join(self.folder, location)
        try:
            self._files[location] = _open_without_links(path)
        except FileNotFoundError:
            self.fail("its weights lie in the file '{}' beside it, which is missing".format(location))
        except OSError as error:
            self.fail("the file '{}' beside it cannot be read ({})".format(
                location, error.strerror or error))
        return self._files[location]


def _open_without_links(path):
    """A regular file that is no link, open for reading, and its size."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise OSError("it is a symbolic link, which is not followed")
    check_regular(status.st_mode)
    # Another file may have taken the name since: hence not following, not blocking, looking again.
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        check_regular(status.st_mode)
        return os.fdopen(descriptor, "rb", 0), status.st_size
    except BaseException:
        os.close(descriptor)
        raise
