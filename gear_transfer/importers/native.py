"""The native file: safetensors layout, graph and preprocessing in its metadata.

    8 bytes    length of the header, little endian
    header     JSON: {"__metadata__": {...}, name: {"dtype", "shape", "data_offsets"}, ...}
    data       the tensors one after the other, without gaps

Tensors are F32, F16, or U8 with a scale and a minimum: two numbers (see
`QuantizedArray`) or the names of two F32 tensors, "scale/..." and "minimum/...",
with a number for each channel (see `ChannelQuantizedArray`). Larger types come
first, so that all are aligned. Those whose names begin with "extra/" are a
network's `extra_arrays`; each other one is used by a node. The metadata are
texts, as safetensors demands; those that hold more are JSON. The first of them,
"crc32", is a checksum of the whole file in which its own eight digits count as
zeros; files of earlier releases have none.

A file without F16 and without scales of channels is of version 1, which the earliest
releases read too. Those are of version 2, which later ones read; and of version 3 is
every file whose preprocessing is more than one scale and one offset.
"""
import json
import os
import struct
import zlib
from collections import OrderedDict

import numpy as np

from ..common.arguments import check_ending, check_path
from ..common.atomic import write_whole
from ..common.regular_file import open_regular
from ..errors import WeightsError
from .json_text import parse_json
from .network import ChannelQuantizedArray, Network, Node, QuantizedArray, used_arrays
from .on_disk import copy_privately
from .operations import LARGEST_EXTENT, check_nodes
from .preprocessing import check_known, is_plain, resolve
from .safetensors import LONGEST_HEADER, check_entries, is_size, read_header, read_metadata

FORMAT = "gear_transfer network"
VERSIONS = ("1", "2", "3")

_EXTRA = "extra/"
_SCALE, _MINIMUM = "scale/", "minimum/"

_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_METADATA = ("format", "version", "name", "graph", "preprocessing", "input_size", "provenance",
             "quantization", "extra")

_ENDINGS = (".gtm", ".gtw")

_CHECKSUM = "crc32"
_NO_DIGITS = "0" * 8


def write_network(path, network):
    """Write a network; the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    network : Network

    Raises
    ------
    WeightsError
        If the network is not valid or the file cannot be written.
    """
    path = check_path("path", path)
    check_native_ending(path)
    check_nodes(network.nodes, network.arrays, path)
    check_known(network, path)
    preprocessing = resolve(network.preprocessing, "{}: preprocessing".format(path))
    arrays = dict((name, network.arrays[name]) for name in used_arrays(network.nodes))
    reserved = [name for name in arrays if name.startswith((_EXTRA, _SCALE, _MINIMUM))]
    if reserved:
        raise WeightsError("{}: the name of the array '{}' begins like those kept for what no node "
                           "uses".format(path, reserved[0]))
    for name, array in network.extra_arrays.items():
        arrays[_EXTRA + name] = array
    header, tensors = _header(network, preprocessing, arrays, path)
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise WeightsError("{}: the header would take {} bytes, at most {} are allowed".format(
            path, len(text), LONGEST_HEADER))
    text = struct.pack("<Q", len(text)) + text
    crc = zlib.crc32(text)
    for tensor in tensors:
        crc = zlib.crc32(tensor.data, crc)
    text = _with_digits(text, _NO_DIGITS, _digits(crc))

    def write(stream):
        stream.write(text)
        for tensor in tensors:
            stream.write(tensor.data)

    try:
        write_whole(path, write)
    except OSError as error:
        raise WeightsError("{}: cannot be written ({})".format(path, error.strerror or error))


def check_native_ending(path):
    """Refuse a name that promises another format; WeightsError."""
    try:
        check_ending(path, "a file in gear_transfer's own format", "*.gtm or *.gtw")
    except ValueError as error:
        raise WeightsError(str(error))


def _digits(crc):
    """A checksum as it stands in the file."""
    return "{:08x}".format(crc & 0xFFFFFFFF)


def _with_digits(text, old, new):
    """The beginning of a file with another checksum in it, as bytes.

    No other text of the header looks like it, for JSON escapes quotes within texts.
    """
    form = '"' + _CHECKSUM + '":"{}"'
    return text.replace(form.format(old).encode("ascii"), form.format(new).encode("ascii"), 1)


def _header(network, preprocessing, arrays, path):
    """The header as a dictionary, and the tensors in the order of the file."""
    quantization = OrderedDict()
    entries = OrderedDict()
    tensors = []
    end = 0
    plain = {}
    for name in sorted(arrays):
        array = arrays[name]
        if isinstance(array, QuantizedArray):
            quantization[name] = [array.scale, array.minimum]
            array = array.values
        elif isinstance(array, ChannelQuantizedArray):
            quantization[name] = [_SCALE + name, _MINIMUM + name]
            plain[_SCALE + name], plain[_MINIMUM + name] = array.scale, array.minimum
            array = array.values
        elif array.dtype not in (np.float32, np.float16):
            raise WeightsError("{}: array '{}' is {}, expected float32 or float16".format(
                path, name, array.dtype))
        plain[name] = array
    for name in sorted(plain, key=lambda name: (-plain[name].itemsize, name)):
        array = plain[name]
        kind = {4: "F32", 2: "F16", 1: "U8"}[array.itemsize]
        array = np.ascontiguousarray(array, dtype=_DTYPES[kind])
        start, end = end, end + array.nbytes
        entries[name] = OrderedDict([("dtype", kind), ("shape", list(array.shape)),
                                     ("data_offsets", [start, end])])
        tensors.append(array)
    graph = [OrderedDict([("name", node.name), ("op", node.op), ("inputs", list(node.inputs)),
                          ("attributes", OrderedDict(sorted(node.attributes.items())))])
             for node in network.nodes]
    size = None if network.input_size is None else list(network.input_size)
    metadata = OrderedDict([
        (_CHECKSUM, _NO_DIGITS),
        ("format", FORMAT),
        ("version", _version(preprocessing, arrays)),
        ("name", network.name),
        ("input_size", json.dumps(size)),
        ("preprocessing", json.dumps(OrderedDict(sorted(preprocessing.items())))),
        ("provenance", json.dumps(OrderedDict(sorted(network.provenance.items())))),
        ("extra", json.dumps(OrderedDict(sorted(network.extra.items())))),
        ("quantization", json.dumps(quantization)),
        ("graph", json.dumps(graph, separators=(",", ":"))),
    ])
    header = OrderedDict([("__metadata__", metadata)])
    header.update(entries)
    return header, tensors


def _version(preprocessing, arrays):
    """The oldest version whose readers read the file as it is meant."""
    if not is_plain(preprocessing):
        return "3"
    is_new = any(isinstance(array, ChannelQuantizedArray)
                 or getattr(array, "dtype", None) == np.float16 for array in arrays.values())
    return "2" if is_new else "1"


def is_native(path):
    """Whether a file of the safetensors layout is to be read as one of ours.

    Parameters
    ----------
    path : str

    Returns
    -------
    bool
        Also where its header cannot be read, or only its ending says so, for `read_network` says
        why it is none.
    """
    metadata = read_metadata(path)
    return (metadata is None or metadata.get("format") == FORMAT or "graph" in metadata
            or path.endswith(_ENDINGS))


def read_network(path):
    """Read a network; its arrays are not writable, and no longer depend on the file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Network

    Raises
    ------
    WeightsError
        Naming the file and what is wrong with it.
    """
    path = str(path)

    def fail(reason):
        raise WeightsError("{}: {}".format(path, reason))

    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            text, header = read_header(stream, size, fail)
            metadata = _check_metadata(header.pop("__metadata__", None), fail)
            entries = check_entries(header, size - len(text), _DTYPES, fail)
            data, crc = copy_privately(stream, size - len(text), zlib.crc32(
                _with_digits(text, metadata.get(_CHECKSUM), _NO_DIGITS)))
    except (OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        fail("cannot be read ({})".format(error))
    if metadata.get(_CHECKSUM, _digits(crc)) != _digits(crc):
        fail("damaged: its bytes do not have the checksum that it says; get or save it again")
    quantization = _json(metadata, "quantization", dict, fail)
    arrays = _arrays(data, entries, quantization, fail)
    extra_arrays = OrderedDict((name[len(_EXTRA):], arrays.pop(name))
                               for name in list(arrays) if name.startswith(_EXTRA))
    nodes = _nodes(_json(metadata, "graph", list, fail), fail)
    check_nodes(nodes, arrays, path)
    unused = sorted(set(arrays) - set(used_arrays(nodes)))
    if unused:
        fail("no node uses the tensor '{}'".format(unused[0]))
    preprocessing = resolve(dict(_json(metadata, "preprocessing", dict, fail)),
                            "{}: preprocessing".format(path))
    return Network(metadata["name"], nodes, arrays, _input_size(metadata, fail), preprocessing,
                   _texts(metadata, "provenance", fail), _texts(metadata, "extra", fail),
                   extra_arrays, "the file says so")


def _check_metadata(metadata, fail):
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        fail("a safetensors file, but not one of gear_transfer's networks (its metadata do not "
             "say so)")
    if metadata.get("version") not in VERSIONS:
        fail("has version {!r} of the native format, this gear_transfer reads {}".format(
            metadata.get("version"), ", ".join(VERSIONS)))
    for key in _METADATA:
        if not isinstance(metadata.get(key), str):
            fail("its metadata lack the text '{}'".format(key))
    # So that a checksum whose name is damaged is not taken for none.
    unknown = sorted(set(metadata) - set(_METADATA) - {_CHECKSUM})
    if unknown:
        fail("its metadata have the unknown entry '{}': damaged, or of a later release".format(
            unknown[0]))
    return metadata


def _json(metadata, key, kind, fail):
    value = parse_json(metadata[key], fail, "metadata '{}'".format(key))
    if not isinstance(value, kind):
        fail("its metadata '{}' are not a JSON {}".format(
            key, "object" if kind is dict else "list"))
    return value


def _arrays(data, entries, quantization, fail):
    """Views of the data by name."""
    plain = OrderedDict()
    for first, last, name, dtype, shape in entries:
        if dtype.itemsize > 1 and first % dtype.itemsize:
            fail("tensor '{}' is not aligned to {} bytes".format(name, dtype.itemsize))
        count = (last - first) // dtype.itemsize
        values = np.frombuffer(data, dtype, count, first).reshape(shape)
        if dtype.itemsize > 1 and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            fail("tensor '{}' holds NaN or infinity".format(name))
        plain[name] = values
    arrays = OrderedDict((name, values) for name, values in plain.items()
                         if not name.startswith((_SCALE, _MINIMUM)))
    for name, values in arrays.items():
        if values.dtype == np.uint8:
            arrays[name] = _quantized(name, values, quantization.get(name), plain, fail)
        elif name in quantization:
            fail("tensor '{}' is {} but has a scale".format(
                name, "F32" if values.itemsize == 4 else "F16"))
    for name in quantization:
        if name not in arrays:
            fail("its metadata have a scale for '{}', which is missing".format(name))
    for name in plain:
        owner = name.split("/", 1)[1] if name not in arrays else name
        if not (name in arrays or isinstance(arrays.get(owner), ChannelQuantizedArray)):
            fail("tensor '{}' is the scale or minimum of no other one".format(name))
    return arrays


def _quantized(name, values, pair, plain, fail):
    """The array of bytes with its scale and minimum, or with those of its channels."""
    if pair == [_SCALE + name, _MINIMUM + name]:
        return _channel_quantized(name, values, plain, fail)
    if (not isinstance(pair, list) or len(pair) != 2
            or not all(type(number) in (int, float) for number in pair)):
        fail("tensor '{}' is U8 but its metadata have no scale and minimum for it".format(name))
    try:
        array = QuantizedArray(values, *pair)
        fine = array.scale > 0.0 and bool(np.isfinite(array.table()).all())
    except OverflowError:
        fine = False
    if not fine:
        fail("tensor '{}' has scale {!r} and minimum {!r}".format(name, pair[0], pair[1]))
    return array


def _channel_quantized(name, values, plain, fail):
    scales = [plain.get(prefix + name) for prefix in (_SCALE, _MINIMUM)]
    for prefix, scale in zip((_SCALE, _MINIMUM), scales):
        if scale is None:
            fail("the tensor '{}' is missing".format(prefix + name))
        if scale.dtype != np.float32 or scale.shape != values.shape[-1:]:
            fail("tensor '{}' must be F32 of shape {}".format(prefix + name,
                                                              list(values.shape[-1:])))
    with np.errstate(over="ignore"):
        largest = scales[0] * np.float32(255) + scales[1]
    if not (scales[0].min() > 0.0 and np.isfinite(largest).all()):
        fail("tensor '{}' holds a scale that is not above zero or too large".format(_SCALE + name))
    return ChannelQuantizedArray(values, *scales)


def _nodes(graph, fail):
    nodes = []
    for index, entry in enumerate(graph):
        if not isinstance(entry, dict) or set(entry) != {"name", "op", "inputs", "attributes"}:
            fail("node number {} must have name, op, inputs and attributes".format(index))
        if (not isinstance(entry["name"], str) or not isinstance(entry["op"], str)
                or not isinstance(entry["inputs"], list)
                or not all(isinstance(name, str) for name in entry["inputs"])
                or not isinstance(entry["attributes"], dict)):
            fail("node number {} has a name, op, inputs or attributes of the wrong type".format(
                index))
        nodes.append(Node(entry["name"], entry["op"], entry["inputs"], entry["attributes"]))
    return nodes


def _input_size(metadata, fail):
    size = parse_json(metadata["input_size"], fail, "metadata 'input_size'")
    if size is None:
        return None
    if (not isinstance(size, list) or len(size) != 2
            or not all(is_size(side) and 1 <= side <= LARGEST_EXTENT for side in size)):
        fail("its input_size is {!r}, expected [height, width]".format(size))
    return tuple(size)


def _texts(metadata, key, fail):
    """A dictionary of texts from the metadata."""
    texts = _json(metadata, key, dict, fail)
    for name in texts:
        if not isinstance(texts[name], str):
            fail("its {} '{}' is not a text".format(key, name))
    return dict(texts)
