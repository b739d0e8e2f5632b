"""ONNX files: a graph of standard operators, described with our own."""
from collections import OrderedDict

from ...errors import WeightsError
from ..network import Network, Node
from ..on_disk import keep_on_disk
from ..operations import check_nodes
from ..preprocessing import ASKED_FOR
from . import lowering
from .model_file import Tensors, looks_like_onnx, opset_of, parse
from .pixels import preprocessing_of
from .translate import Translation, weights_error

__all__ = ["load_onnx", "looks_like_onnx"]

#: Sizes of image with which a graph is looked at whose file leaves the size open.
_SIZES = ((224, 224), (288, 256))

_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger",
              "MatMulInteger", "QLinearConv", "QLinearMatMul", "QLinearAdd", "QGemm")


def load_onnx(path, layer=None, preprocessing=None, taps=None):
    """Read a network from an ONNX file, with the package onnx.

    Parameters
    ----------
    path : str
    layer : str or sequence of str, optional
        Read only what this layer needs: a node or a tensor of the file.
    preprocessing : dict, optional
        In place of what the file or a configuration beside it says.
    taps : str or sequence of str, optional
        Layers that are wanted. Where the file has operations that are not known, the network is cut
        at these; else it is read whole.

    Returns
    -------
    Network

    Raises
    ------
    WeightsError
        Naming the file, the node and what is wrong with it.
    GraphError
        If `layer` does not exist.
    """
    fail = weights_error(path)
    model = parse(path)
    opset = opset_of(model, fail)
    _check_float(model.graph, fail)
    with Tensors(path, fail) as tensors:
        try:
            translation, items = _translated(model, tensors, opset, fail, layer)
        except WeightsError:
            if layer is not None or taps is None:
                raise
            translation, items = _translated(model, tensors, opset, fail, taps)
        nodes, stored = _described(lowering.lowered(items, fail))
        arrays = keep_on_disk(_read(stored, fail))
    check_nodes(nodes, arrays, path)
    reason = ASKED_FOR
    if preprocessing is None:
        preprocessing, reason = preprocessing_of(model, path)
    return Network(model.graph.name or "onnx", nodes, arrays, translation.input_size, preprocessing,
                   {"format": "ONNX, opset {}".format(opset)}, preprocessing_reason=reason)


def _check_float(graph, fail):
    for node in graph.node:
        if node.op_type in _QUANTISED:
            fail("is a quantised network (node '{}' is {}); export the network before it was "
                 "quantised, as gear_transfer makes 8 bit numbers of its own".format(
                     node.name or "".join(node.output[:1]), node.op_type))


def _translated(model, tensors, opset, fail, layer):
    """The translation, and the items that are wanted with all that they need."""
    first = Translation(model, tensors, opset, fail, None)
    if first.input_size is not None:
        return first, _wanted(first, layer)
    tries = []
    for size in _SIZES:
        translation = Translation(model, tensors, opset, fail, size)
        tries.append(_wanted(translation, layer))
    lowering.check_same(tries[0], tries[1], fail)
    return translation, tries[0]


def _wanted(translation, layer):
    if layer is None:
        return lowering.needed(translation.net.items, translation.outputs())
    targets = []
    for name in [layer] if isinstance(layer, str) else layer:
        item = translation.layer(name)
        if item not in targets:
            item.name = name
        targets.append(item)
    return lowering.needed(translation.net.items, targets)


def _described(items):
    """Nodes, and by name what makes each of their arrays."""
    nodes, stored = [], OrderedDict()
    for item in items:
        attributes = {}
        for key, value in sorted(item.attributes.items()):
            if lowering.is_array(value):
                stored["{}/{}".format(item.name, key)] = value
                value = "{}/{}".format(item.name, key)
            attributes[key] = value
        nodes.append(Node(item.name, item.op, [other.name for other in item.inputs], attributes))
    return nodes, stored


def _read(stored, fail):
    for name, array in stored.items():
        values = array.read()
        if not lowering.is_finite(values):
            fail("array '{}' holds a number that is NaN or infinity".format(name))
        if name.endswith("/variance") and values.size and values.min() < 0.0:
            fail("array '{}' holds a negative number".format(name))
        yield name, values
