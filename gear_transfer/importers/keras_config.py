"""The graph in a Keras model_config, as nodes and the weights they need.

A configuration is data: layer classes are looked up in a table of this
module and nothing in a file is ever imported or evaluated.
"""
from collections import OrderedDict, namedtuple

from ..errors import WeightsError
from . import keras_layers
from .network import Node, needed_nodes

#: A weight to be read: layer and weight name in the file, shape there, shape in the network.
Wanted = namedtuple("Wanted", "layer weight stored_shape shape")

#: A tensor between layers: node, its shape without the batch, zeros to be put around it.
Value = namedtuple("Value", "node shape padding")

#: Most layers that a model may have.
MOST_LAYERS = 20000

MODEL_CLASSES = ("Model", "Functional", "Sequential")


class GraphBuilder(object):
    """Nodes and wanted weights of a model, gathered layer by layer.

    Parameters
    ----------
    path : str
        The file, for messages.
    """

    def __init__(self, path):
        self.path = path
        self.nodes = []
        self.wanted = OrderedDict()
        self.input_size = None
        self.not_negative = set()

    def fail(self, reason):
        """Raise WeightsError with the name of the file."""
        raise WeightsError("{}: {}".format(self.path, reason))

    def add(self, name, op, inputs, attributes, shape, not_negative=False):
        """Append a node; return its Value."""
        self.nodes.append(Node(name, op, [value.node for value in inputs], attributes))
        if not_negative:
            self.not_negative.add(name)
        return Value(name, shape, None)

    def want(self, layer, role, weight, stored_shape, shape=None):
        """Ask for a weight; return the name of the array that it becomes."""
        name = "{}/{}".format(layer, role)
        want = Wanted(layer, weight, tuple(stored_shape), tuple(shape or stored_shape))
        if self.wanted.setdefault(name, want) != want:
            self.fail("layer '{}' is used on inputs of different shapes".format(layer))
        return name


class Layer(object):
    """One call of one layer: its settings, with checks that name it in messages."""

    def __init__(self, builder, name, kind, config, node):
        self.builder = builder
        self.name = name    # in the file: where the weights are
        self.node = node    # of the node that the call becomes
        self.kind = kind
        self.config = config

    def fail(self, reason):
        """Raise WeightsError with file, layer and class."""
        self.builder.fail("layer '{}' ({}): {}".format(self.name, self.kind, reason))

    def count(self, key, default=None):
        """A setting that is a whole number of at least one."""
        value = self.config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 24:
            self.fail("setting '{}' is {!r}, expected a whole number from 1 on".format(key, value))
        return value

    def pair(self, key, default=None):
        """A setting that is one or two whole numbers of at least one, as a list of two."""
        value = self.config.get(key)
        value = default if value is None else value
        value = [value, value] if isinstance(value, int) else value
        if (not isinstance(value, (list, tuple)) or len(value) != 2
                or not all(type(item) is int and 1 <= item <= 1 << 24 for item in value)):
            self.fail("setting '{}' is {!r}, expected two whole numbers from 1 on".format(
                key, value))
        return list(value)

    def flag(self, key, default):
        """A setting that is true or false."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            self.fail("setting '{}' is {!r}, expected true or false".format(key, value))
        return value

    def number(self, key, default=None):
        """A setting that is a finite number, or None."""
        value = self.config.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
            self.fail("setting '{}' is {!r}, expected a number".format(key, value))
        return float(value)


def describe(config, path):
    """Translate a model_config.

    Parameters
    ----------
    config : dict
        Parsed JSON of the attribute.
    path : str
        The file, for messages.

    Returns
    -------
    name : str
    input_size : tuple of int or None
        (height, width) where the model fixes them.
    nodes : list of Node
    wanted : OrderedDict of str to Wanted

    Raises
    ------
    WeightsError
        Naming the layer and the class that cannot be used.
    """
    builder = GraphBuilder(path)
    if not isinstance(config, dict) or config.get("class_name") not in MODEL_CLASSES:
        builder.fail("its model_config describes {!r}, expected one of {}".format(
            config.get("class_name") if isinstance(config, dict) else config,
            ", ".join(MODEL_CLASSES)))
    settings = config.get("config")
    if isinstance(settings, list):
        settings = {"name": "sequential", "layers": settings}
    if not isinstance(settings, dict) or not isinstance(settings.get("layers"), list):
        builder.fail("its model_config has no list of layers")
    layers = settings["layers"]
    if not 1 <= len(layers) <= MOST_LAYERS:
        builder.fail("its model_config has {} layers".format(len(layers)))
    for entry in layers:
        _check_entry(builder, entry)
    if config["class_name"] == "Sequential":
        outputs = [_sequential(builder, layers)]
    else:
        outputs = _functional(builder, layers, settings)
    for value in outputs:
        if value.padding is not None:
            builder.fail("the model ends with a ZeroPadding2D layer, which cannot be folded")
    nodes = needed_nodes(builder.nodes, [value.node for value in outputs])
    name = settings.get("name")
    return (name if isinstance(name, str) else "model"), builder.input_size, nodes, builder.wanted


def _check_entry(builder, entry):
    if (not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str)
            or not isinstance(entry.get("config"), dict)
            or not isinstance(_layer_name(entry), str) or not _layer_name(entry)):
        builder.fail("its model_config has a layer without name, class or settings")


def _layer_name(entry):
    return entry["config"].get("name", entry.get("name"))


def _call(builder, entry, call, inputs):
    """Translate one call of a layer."""
    name, kind = _layer_name(entry), entry["class_name"]
    translate = keras_layers.TRANSLATORS.get(kind)
    node = name if call == 0 else "{}/call{}".format(name, call)
    layer = Layer(builder, name, kind, entry["config"], node)
    if kind in MODEL_CLASSES:
        layer.fail("a model inside a model is not supported; save the inner layers as one flat "
                   "model")
    if kind == "Lambda":
        layer.fail("runs code from the file, which is refused")
    if translate is None:
        layer.fail("this class of layer is not supported")
    return translate(layer, inputs)


def _sequential(builder, layers):
    value = None
    first = layers[0]
    if first["class_name"] != "InputLayer":
        value = keras_layers.input_layer(
            Layer(builder, _layer_name(first), first["class_name"], first["config"],
                  _layer_name(first) + "/input"), [])
    names = set()
    for entry in layers:
        if _layer_name(entry) in names:
            builder.fail("two layers have the name '{}'".format(_layer_name(entry)))
        names.add(_layer_name(entry))
        value = _call(builder, entry, 0, [] if value is None else [value])
    return value


def _functional(builder, layers, settings):
    """Translate every call once its inputs are there; the order of the file is kept."""
    waiting = []
    names = set()
    for entry in layers:
        name = _layer_name(entry)
        if name in names:
            builder.fail("two layers have the name '{}'".format(name))
        names.add(name)
        calls = entry.get("inbound_nodes") or [[]]
        if not isinstance(calls, list):
            builder.fail("layer '{}': its inputs are not a list".format(name))
        for number, call in enumerate(calls):
            waiting.append((entry, number, _references(builder, name, call)))
    values = {}
    while waiting:
        later = []
        for entry, number, references in waiting:
            if all(reference in values for reference in references):
                inputs = [values[reference] for reference in references]
                values[(_layer_name(entry), number)] = _call(builder, entry, number, inputs)
            else:
                later.append((entry, number, references))
        if len(later) == len(waiting):
            entry, _, references = later[0]
            absent = [name for name, _ in references if name not in names]
            builder.fail("layer '{}' ({}): its input {} does not exist or depends on it".format(
                _layer_name(entry), entry["class_name"], absent or references))
        waiting = later
    outputs = _references(builder, "output", settings.get("output_layers"))
    for reference in outputs:
        if reference not in values:
            builder.fail("the output layer '{}' does not exist".format(reference[0]))
    if not outputs:
        builder.fail("its model_config names no output layer")
    return [values[reference] for reference in outputs]


def _references(builder, name, call):
    """(layer, call number) of every tensor in one call of a layer.

    Keras 2 writes ``[layer, call, tensor, {}]``, Keras 3 dictionaries whose
    ``keras_history`` is ``[layer, call, tensor]``.
    """
    found = []
    stack = [(call, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > 16:
            builder.fail("layer '{}': its inputs are nested too deep".format(name))
        if isinstance(item, dict):
            stack.extend((item[key], depth + 1) for key in ("args", "config", "keras_history")
                         if key in item)
        elif isinstance(item, list):
            if (len(item) >= 3 and isinstance(item[0], str) and type(item[1]) is int
                    and type(item[2]) is int):
                if item[2] != 0:
                    builder.fail("layer '{}' reads a second output of layer '{}'".format(
                        name, item[0]))
                found.append((item[0], item[1]))
            else:
                stack.extend((part, depth + 1) for part in reversed(item))
    return found
