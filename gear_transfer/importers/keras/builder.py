"""What is gathered while the layers of a Keras model are read: nodes, weights, and what is in the way."""
from collections import OrderedDict, namedtuple

import numpy as np

from ...errors import WeightsError
from ..network import Node

#: A weight to be read.
#:
#: `place` is where its layer is in the file (a `Place`), `names` what the weight may be called there,
#: `position` its number among the layer's variables, `stored_shape` its shape there, `shape` the
#: one in the network, and `convert` what is done to its numbers, or None.
Wanted = namedtuple("Wanted", "place names position stored_shape shape convert")

#: Where a layer's weights are: names of the models and the layer around it, and the same as the path
#: that Keras 3 makes of the classes; `sub` is a layer inside the layer, such as "query".
Place = namedtuple("Place", "names path sub")

#: A tensor between layers: node, its shape without the batch, and a `Padding` to be put around it.
#: The shape is Keras's own: (height, width, channels), (tokens, channels) or (channels,); None stands
#: for a size that the model leaves open.
Value = namedtuple("Value", "node shape padding")

#: Zeros to be put around a map, and the name of the layer that does it.
Padding = namedtuple("Padding", "top left bottom right name")

#: A tensor that cannot be made: why, and the last node before it, or None.
Blocked = namedtuple("Blocked", "reason before")

#: One channel of a map, which only a stack of such planes can be made of.
Plane = namedtuple("Plane", "source index")

#: Most nodes that a model may become; models inside models can be called many times.
MOST_NODES = 30000

#: Most calls of layers; those that become no node count too.
MOST_CALLS = 30000

#: Most numbers in all arrays that are made here, such as one scale for every channel.
MOST_CONSTANTS = 1 << 22

#: Operations that leave every pixel at its place.
_PIXEL_BY_PIXEL = ("bias", "scale", "batch_norm", "activation", "clip", "relu", "layer_norm")


class LayerError(WeightsError):
    """A layer that cannot be used; what does not depend on it still can."""


class GraphBuilder(object):
    """Nodes and wanted weights of a model, gathered layer by layer.

    Parameters
    ----------
    path : str
        The file, for messages.
    major : int
        Major version of the Keras that wrote it.
    """

    def __init__(self, path, major=2):
        self.path = path
        self.major = major
        self.nodes = []
        self.wanted = OrderedDict()
        self.constants = OrderedDict()
        self.input_size = None
        self.not_negative = set()
        self.blocked = {}
        self._by_name = {}
        self._whole = set()
        self._positions = {}
        self._numbers = 0
        self._calls = 0

    def fail(self, reason):
        """Raise WeightsError with the name of the file."""
        raise WeightsError("{}: {}".format(self.path, reason))

    def add(self, name, op, inputs, attributes, shape, not_negative=False):
        """Append a node; return its Value."""
        if name in self._by_name:
            self.fail("two layers have the name '{}'".format(name))
        if len(self.nodes) >= MOST_NODES:
            self.fail("layer '{}': the model becomes more than {} nodes".format(name, MOST_NODES))
        node = Node(name, op, [value.node for value in inputs], attributes)
        self.nodes.append(node)
        self._by_name[name] = node
        if not_negative:
            self.not_negative.add(name)
        if op == "input" or op in _PIXEL_BY_PIXEL and node.inputs[0] in self._whole:
            self._whole.add(name)
        return Value(name, tuple(shape), None)

    def count_call(self, name):
        """Count a call of a layer; inner models may be called again and again."""
        self._calls += 1
        if self._calls > MOST_CALLS:
            self.fail("layer '{}': the model has more than {} calls of layers".format(
                name, MOST_CALLS))

    def drop(self, count):
        """Take back all nodes but the first `count`: those of a layer that came to nothing."""
        for node in self.nodes[count:]:
            del self._by_name[node.name]
            self.not_negative.discard(node.name)
            self._whole.discard(node.name)
        del self.nodes[count:]

    def want(self, layer, role, names, stored_shape, shape=None, sub=None, convert=None):
        """Ask for a weight of a layer; return the name of the array that it becomes."""
        name = "{}/{}".format(layer.name, role)
        place = layer.place._replace(sub=sub)
        names = (names,) if isinstance(names, str) else tuple(names)
        want = Wanted(place, names, None, tuple(stored_shape), tuple(shape or stored_shape),
                      convert)
        known = self.wanted.get(name)
        if known is None:
            position = self._positions.get(place, 0)
            self._positions[place] = position + 1
            self.wanted[name] = want._replace(position=position)
        elif known._replace(position=None) != want:
            layer.fail("is used on inputs of different shapes")
        return name

    def constant(self, layer, role, values):
        """Keep an array that is not a weight of the file; return its name."""
        name = "{}/{}".format(layer.node, role)
        values = np.ascontiguousarray(values, dtype=np.float32)
        if not np.isfinite(values).all():
            layer.fail("{} is not finite".format(role))
        if name in self.wanted or name in self.constants:
            self.fail("two arrays have the name '{}'".format(name))
        self.count(layer, values.size)
        self.constants[name] = values
        return name

    def count(self, layer, numbers):
        """Count the numbers of a constant before memory is taken for them."""
        self._numbers += numbers
        if self._numbers > MOST_CONSTANTS:
            layer.fail("its constants take more than {} numbers".format(MOST_CONSTANTS))

    def plain(self, value):
        """The value with its padding around it as a node of its own."""
        padding = value.padding
        if padding is None:
            return value
        known = self._by_name.get(padding.name)
        sides = list(padding[:4])
        shape = tuple(None if side is None else side + sides[axis] + sides[axis + 2]
                      for axis, side in enumerate(value.shape[:2])) + value.shape[2:]
        if known is not None and known.op == "pad":
            return Value(padding.name, shape, None)
        return self.add(padding.name, "pad", [value], {"padding": sides}, shape,
                        value.node in self.not_negative)

    def of_fixed_size(self, value):
        """A value with padding, which no map of another size may become."""
        name = value.padding.name + "/fixed"
        if name not in self._by_name:
            bare = value._replace(padding=None)
            self.add(name, "reshape", [bare], {"shape": list(value.shape)}, value.shape,
                     value.node in self.not_negative)
        return value._replace(node=name)

    def is_whole_image(self, value):
        """Whether the value is the input, changed pixel by pixel at most."""
        return value.node in self._whole and value.padding is None

    def fix_size(self, height, width):
        """The size of the images, where the model itself leaves it open."""
        if self.input_size is None:
            self.input_size = (height, width)
