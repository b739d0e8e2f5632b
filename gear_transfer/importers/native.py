"""The native file: safetensors layout, graph and preprocessing in its metadata.

    8 bytes    length of the header, little endian
    header     JSON: {"__metadata__": {...}, name: {"dtype", "shape", "data_offsets"}, ...}
    data       the tensors one after the other, without gaps

Tensors are F32, or U8 with a scale and a minimum (see `QuantizedArray`).
The float32 ones come first, so that all are aligned. Those whose names begin
with "extra/" are a network's `extra_arrays`; each other one is used by a node.
The metadata are texts, as safetensors demands; those that hold more are JSON.
"""
import json
import mmap
import os
import struct
from collections import OrderedDict

import numpy as np

from ..common.arguments import check_path
from ..common.atomic import write_whole
from ..errors import WeightsError
from .json_text import parse_json
from .network import Network, Node, QuantizedArray, used_arrays
from .operations import LARGEST_EXTENT, check_nodes
from .safetensors import LONGEST_HEADER, check_entries, is_size, read_header

FORMAT = "gear_transfer network"
VERSION = "1"

_EXTRA = "extra/"

_DTYPES = {"F32": np.dtype("<f4"), "U8": np.dtype("u1")}
_METADATA = ("format", "version", "name", "graph", "preprocessing", "input_size", "provenance",
             "quantization", "extra")


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
    check_nodes(network.nodes, network.arrays, path)
    _check_preprocessing(network.preprocessing, path)
    arrays = dict((name, network.arrays[name]) for name in used_arrays(network.nodes))
    reserved = [name for name in arrays if name.startswith(_EXTRA)]
    if reserved:
        raise WeightsError("{}: the name of the array '{}' is kept for what no node uses".format(
            path, reserved[0]))
    for name, array in network.extra_arrays.items():
        arrays[_EXTRA + name] = array
    header, tensors = _header(network, arrays, path)
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise WeightsError("{}: the header would take {} bytes, at most {} are allowed".format(
            path, len(text), LONGEST_HEADER))

    def write(stream):
        stream.write(struct.pack("<Q", len(text)))
        stream.write(text)
        for tensor in tensors:
            stream.write(tensor.data)

    try:
        write_whole(path, write)
    except OSError as error:
        raise WeightsError("{}: cannot be written ({})".format(path, error.strerror or error))


def _header(network, arrays, path):
    """The header as a dictionary, and the tensors in the order of the file."""
    quantization = OrderedDict()
    entries = OrderedDict()
    tensors = []
    end = 0
    for name in sorted(arrays, key=lambda name: (isinstance(arrays[name], QuantizedArray), name)):
        array = arrays[name]
        kind = "F32"
        if isinstance(array, QuantizedArray):
            kind = "U8"
            quantization[name] = [array.scale, array.minimum]
            array = array.values
        elif array.dtype != np.float32:
            raise WeightsError("{}: array '{}' is {}, expected float32".format(
                path, name, array.dtype))
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
        ("format", FORMAT),
        ("version", VERSION),
        ("name", network.name),
        ("input_size", json.dumps(size)),
        ("preprocessing", json.dumps(OrderedDict(sorted(network.preprocessing.items())))),
        ("provenance", json.dumps(OrderedDict(sorted(network.provenance.items())))),
        ("extra", json.dumps(OrderedDict(sorted(network.extra.items())))),
        ("quantization", json.dumps(quantization)),
        ("graph", json.dumps(graph, separators=(",", ":"))),
    ])
    header = OrderedDict([("__metadata__", metadata)])
    header.update(entries)
    return header, tensors


def read_network(path):
    """Read a network; the arrays are views of the mapped file, not writable.

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
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            header, start = read_header(stream, size, fail)
            metadata = _check_metadata(header.pop("__metadata__", None), fail)
            entries = check_entries(header, size - start, _DTYPES, fail)
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        fail("cannot be read ({})".format(error))
    quantization = _json(metadata, "quantization", dict, fail)
    arrays = _arrays(mapped, start, entries, quantization, fail)
    extra_arrays = OrderedDict((name[len(_EXTRA):], arrays.pop(name))
                               for name in list(arrays) if name.startswith(_EXTRA))
    nodes = _nodes(_json(metadata, "graph", list, fail), fail)
    check_nodes(nodes, arrays, path)
    unused = sorted(set(arrays) - set(used_arrays(nodes)))
    if unused:
        fail("no node uses the tensor '{}'".format(unused[0]))
    preprocessing = _json(metadata, "preprocessing", dict, fail)
    _check_preprocessing(preprocessing, path)
    return Network(metadata["name"], nodes, arrays, _input_size(metadata, fail), preprocessing,
                   _texts(metadata, "provenance", fail), _texts(metadata, "extra", fail),
                   extra_arrays)


def _check_metadata(metadata, fail):
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        fail("a safetensors file, but not one of gear_transfer's networks (its metadata do not "
             "say so) and not EfficientNet-Lite (no tensor '_conv_stem.weight')")
    if metadata.get("version") != VERSION:
        fail("has version {!r} of the native format, this gear_transfer reads {!r}".format(
            metadata.get("version"), VERSION))
    for key in _METADATA:
        if not isinstance(metadata.get(key), str):
            fail("its metadata lack the text '{}'".format(key))
    return metadata


def _json(metadata, key, kind, fail):
    value = parse_json(metadata[key], fail, "metadata '{}'".format(key))
    if not isinstance(value, kind):
        fail("its metadata '{}' are not a JSON {}".format(
            key, "object" if kind is dict else "list"))
    return value


def _arrays(mapped, start, entries, quantization, fail):
    """Views of the mapped file by name."""
    arrays = OrderedDict()
    for first, last, name, dtype, shape in entries:
        if dtype.itemsize > 1 and (start + first) % dtype.itemsize:
            fail("tensor '{}' is not aligned to {} bytes".format(name, dtype.itemsize))
        count = (last - first) // dtype.itemsize
        values = np.frombuffer(mapped, dtype, count, start + first).reshape(shape)
        if dtype == np.uint8:
            arrays[name] = _quantized(name, values, quantization, fail)
            continue
        if name in quantization:
            fail("tensor '{}' is F32 but has a scale".format(name))
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            fail("tensor '{}' holds NaN or infinity".format(name))
        arrays[name] = values
    for name in quantization:
        if name not in arrays:
            fail("its metadata have a scale for '{}', which is missing".format(name))
    return arrays


def _quantized(name, values, quantization, fail):
    pair = quantization.get(name)
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


def _check_preprocessing(preprocessing, path):
    if (set(preprocessing) != {"scale", "offset"}
            or not all(type(number) in (int, float) and number - number == 0
                       for number in preprocessing.values())):
        raise WeightsError("{}: preprocessing is {!r}, expected a finite scale and offset".format(
            path, dict(preprocessing)))


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
