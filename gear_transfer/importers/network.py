"""What an importer makes: a list of nodes and the arrays they name."""
import difflib
import hashlib
import json
from collections import OrderedDict

import numpy as np

from ..errors import GraphError
from .on_disk import give_back
from .operations import array_attributes
from .preprocessing import resolve


class Node(object):
    """One operation of a network.

    Parameters
    ----------
    name : str
        Unique in its network; the name under which the result can be tapped.
    op : str
        One of the operations in `operations.OPERATIONS`.
    inputs : sequence of str
        Names of earlier nodes.
    attributes : dict, optional
        Settings of the operation; array-valued ones hold the name of an array.
    """

    __slots__ = ("name", "op", "inputs", "attributes")

    def __init__(self, name, op, inputs=(), attributes=None):
        self.name = name
        self.op = op
        self.inputs = tuple(inputs)
        self.attributes = dict(attributes or {})

    def __repr__(self):
        settings = ", ".join("{!r}: {!r}".format(*item) for item in sorted(self.attributes.items()))
        return "Node({!r}, {!r}, {!r}, {{{}}})".format(self.name, self.op, self.inputs, settings)


class QuantizedArray(object):
    """An array stored as bytes: value = byte * scale + minimum.

    The arithmetic is that of float32, each step rounded; it is what made the
    published float32 weights from the published bytes.

    Parameters
    ----------
    values : ndarray of uint8
    scale, minimum : float
        Rounded to float32.
    """

    __slots__ = ("values", "scale", "minimum")

    def __init__(self, values, scale, minimum):
        self.values = np.ascontiguousarray(values)
        if self.values.dtype != np.uint8:
            raise TypeError("values must be uint8, not {}".format(self.values.dtype))
        with np.errstate(over="ignore"):
            self.scale = float(np.float32(scale))
            self.minimum = float(np.float32(minimum))

    @property
    def shape(self):
        """Shape of the array, a tuple of int."""
        return self.values.shape

    def table(self):
        """The values of the 256 bytes, ndarray of float32, shape (256,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            product = np.arange(256, dtype=np.float32) * np.float32(self.scale)
            return product + np.float32(self.minimum)

    def dequantize(self):
        """The values, ndarray of float32 of the same shape."""
        return self.table()[self.values]

    def __repr__(self):
        return "QuantizedArray(shape={}, scale={!r}, minimum={!r})".format(
            self.shape, self.scale, self.minimum)


class ChannelQuantizedArray(object):
    """An array stored as bytes: value = byte * scale[c] + minimum[c], c along the last axis.

    The arithmetic is that of float32, each step rounded.

    Parameters
    ----------
    values : ndarray of uint8, shape (..., channels)
    scale, minimum : ndarray of float32, shape (channels,)
    """

    __slots__ = ("values", "scale", "minimum")

    def __init__(self, values, scale, minimum):
        self.values = np.ascontiguousarray(values)
        if self.values.dtype != np.uint8:
            raise TypeError("values must be uint8, not {}".format(self.values.dtype))
        self.scale = np.ascontiguousarray(scale, dtype=np.float32)
        self.minimum = np.ascontiguousarray(minimum, dtype=np.float32)
        if not self.scale.shape == self.minimum.shape == self.values.shape[-1:]:
            raise ValueError("scale and minimum must have the shape {}, not {} and {}".format(
                self.values.shape[-1:], self.scale.shape, self.minimum.shape))

    @property
    def shape(self):
        """Shape of the array, a tuple of int."""
        return self.values.shape

    def dequantize(self):
        """The values, ndarray of float32 of the same shape."""
        return self.values.astype(np.float32) * self.scale + self.minimum

    def __repr__(self):
        return "ChannelQuantizedArray(shape={})".format(self.shape)


def needed_nodes(nodes, layers):
    """The nodes that the named layers depend on, in their order.

    Parameters
    ----------
    nodes : list of Node
    layers : str or sequence of str

    Returns
    -------
    list of Node

    Raises
    ------
    GraphError
        If a layer does not exist.
    """
    if isinstance(layers, str):
        layers = [layers]
    by_name = dict((node.name, node) for node in nodes)
    for layer in layers:
        if layer not in by_name:
            close = difflib.get_close_matches(str(layer), [node.name for node in nodes], 3)
            hint = "; did you mean {}?".format(", ".join(close)) if close else ""
            raise GraphError("the network has no layer '{}' (its last layer is '{}'){}".format(
                layer, nodes[-1].name, hint))
    needed = set(layers)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    kept = [node for node in nodes if node.name in needed]
    if not any(node.op == "input" for node in kept):
        kept[:0] = nodes[:1]  # constants do not depend on it
    return kept


def used_arrays(nodes):
    """Names of the arrays that `nodes` use, in order of first use."""
    names = OrderedDict()
    for node in nodes:
        for key in array_attributes(node):
            names[node.attributes[key]] = True
    return list(names)


class Network(object):
    """A network for inference: nodes in topological order and their arrays.

    Parameters
    ----------
    name : str
    nodes : list of Node
        The first is the input. For several outputs any order that respects
        the inputs will do; for one output it is the last.
    arrays : dict of str to array
        Each an ndarray of float32 or float16 (C-contiguous), a QuantizedArray
        or a ChannelQuantizedArray.
    input_size : tuple of int or None
        Native (height, width); None where the file leaves it open.
    preprocessing : dict, str or None
        What the network wants to see, see `preprocessing.resolve`; None where nobody has said it.
    provenance : dict of str to str, optional
        Where the weights come from: source, licence, notes.
    extra : dict of str to str, optional
        What others keep in the same file, such as a classifier's settings.
    extra_arrays : dict of str to ndarray of float32, optional
        Arrays of theirs, which no node uses.
    preprocessing_reason : str, optional
        Why that preprocessing, for a person to read; not kept in files.
    """

    def __init__(self, name, nodes, arrays, input_size, preprocessing, provenance=None,
                 extra=None, extra_arrays=None, preprocessing_reason=None):
        self.name = name
        self.nodes = list(nodes)
        self.arrays = arrays
        self.input_size = None if input_size is None else tuple(input_size)
        self.preprocessing = None if preprocessing is None else resolve(preprocessing)
        self.preprocessing_reason = preprocessing_reason
        self.provenance = dict(provenance or {})
        self.extra = dict(extra or {})
        self.extra_arrays = OrderedDict(extra_arrays or {})

    @property
    def layers(self):
        """Names of the nodes in order, list of str."""
        return [node.name for node in self.nodes]

    def upto(self, layers):
        """The sub-network that the named layers need.

        Parameters
        ----------
        layers : str or sequence of str

        Returns
        -------
        Network
            With the same array objects, the unused ones left out, and no `extra`.

        Raises
        ------
        GraphError
            If a layer does not exist.
        """
        nodes = needed_nodes(self.nodes, layers)
        arrays = OrderedDict((name, self.arrays[name]) for name in used_arrays(nodes))
        return Network(self.name, nodes, arrays, self.input_size, self.preprocessing,
                       self.provenance, preprocessing_reason=self.preprocessing_reason)

    def fingerprint(self):
        """SHA-256 over graph, preprocessing and the arrays' bytes.

        Equal for equal networks whatever the order of their dictionaries;
        name, provenance and native input size do not count.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        graph = [[node.name, node.op, list(node.inputs), node.attributes] for node in self.nodes]
        preprocessing = self.preprocessing and resolve(self.preprocessing)
        digest = hashlib.sha256()
        digest.update(json.dumps([graph, preprocessing], sort_keys=True).encode("utf-8"))
        for name in sorted(self.arrays):
            array = self.arrays[name]
            label = [name, str(getattr(array, "dtype", "uint8")), list(array.shape)]
            values = array
            if isinstance(array, QuantizedArray):
                label += [array.scale, array.minimum]
                values = array.values
            elif isinstance(array, ChannelQuantizedArray):
                label += [array.scale.tolist(), array.minimum.tolist()]
                values = array.values
            digest.update(json.dumps(label).encode("utf-8"))
            digest.update(np.ascontiguousarray(values).data)
            give_back(values)
        return digest.hexdigest()

    def __repr__(self):
        return "Network({!r}, {} nodes, {} arrays, input_size={})".format(
            self.name, len(self.nodes), len(self.arrays), self.input_size)
