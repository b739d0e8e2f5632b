"""Each operation of a network as nodes of ONNX.

Maps are (n, channels, height, width) here, vectors are maps of one pixel.
"""
import math

import numpy as np

from ..errors import GraphError
from ..importers.network import ChannelQuantizedArray, Node, QuantizedArray

#: Functions of one number that ONNX has as they are, with the attributes of theirs.
_FUNCTIONS = {
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}), "elu": ("Elu", {"alpha": 1.0}), "selu": ("Selu", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}), "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}), "softplus": ("Softplus", {}), "softsign": ("Softsign", {}),
    "exp": ("Exp", {}), "abs": ("Abs", {}), "sqrt": ("Sqrt", {}),
}

_PREFIX = "layers/"
#: Where the axes of a map are.
AXES = {"channels": 1, "height": 2, "width": 3}


class GraphWriter(object):
    """Nodes and constants of an ONNX graph, gathered operation by operation.

    Parameters
    ----------
    network : Network
    shapes : dict
        (height, width, channels) of the results of nodes that are read by windows.
    onnx : module
        The package.
    """

    def __init__(self, network, shapes, onnx):
        self._network, self._shapes, self._onnx = network, shapes, onnx
        self.nodes, self.constants = [], []

    def write(self, node):
        """Add what computes a node and return the name of its result.

        Parameters
        ----------
        node : Node

        Raises
        ------
        GraphError
            Its operation cannot be exported.
        """
        method = getattr(self, "_write_" + node.op, None)
        if method is None:
            raise GraphError("{}: node '{}' has the operation '{}', which cannot be exported to "
                             "ONNX".format(self._network.name, node.name, node.op))
        # So that no layer has the name of an input, an output or a constant.
        renamed = Node(_PREFIX + node.name, node.op, [_PREFIX + name for name in node.inputs],
                       node.attributes)
        method(renamed)
        return renamed.name

    def constant(self, name, values):
        """The name of a new constant."""
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, op, inputs, output, **attributes):
        """A node with one result, whose name is returned."""
        self.nodes.append(self._onnx.helper.make_node(op, list(inputs), [output], name=output,
                                                      **attributes))
        return output

    def shape_of(self, name):
        """(height, width, channels) of the result of that name."""
        return self._shapes[name[len(_PREFIX):]]

    def array(self, name):
        """A float32 array of the network."""
        values = self._network.arrays[name]
        if isinstance(values, (ChannelQuantizedArray, QuantizedArray)):
            return values.dequantize()
        return np.asarray(values, np.float32)

    def per_channel(self, node, key):
        """An array of a number for each channel as a constant that goes with maps."""
        values = self.array(node.attributes[key]).reshape(-1, 1, 1)
        return self.constant("{}/{}".format(node.name, key), values)

    def _number(self, node, name, value):
        return self.constant("{}/{}".format(node.name, name), np.float32(value))

    def _write_input(self, node):
        pixels = self._network.preprocessing
        as_float = self.add("Cast", ["images"], "images/float", to=self._onnx.TensorProto.FLOAT)
        maps = self.add("Transpose", [as_float], "images/maps", perm=[0, 3, 1, 2])
        if pixels.get("channels") == "bgr":
            order = self.constant("images/order", np.array([2, 1, 0]))
            maps = self.add("Gather", [maps, order], "images/bgr", axis=1)
        scale, offset = [self.constant("images/" + key, np.array(
            pixels[key], np.float32).reshape(-1, 1, 1)) for key in ("scale", "offset")]
        self.add("Add", [self.add("Mul", [maps, scale], "images/scaled"), offset], node.name)

    def _pads(self, node, size, strides, dilations):
        """The attribute pads of a window: pixels above, left, below, right."""
        padding = node.attributes["padding"]
        if padding == "valid":
            return [0, 0, 0, 0]
        if padding != "same":
            return list(padding)
        before, after = [], []
        shape = self.shape_of(node.inputs[0])
        for extent, side, stride, dilation in zip(shape, size, strides, dilations):
            reach = (side - 1) * dilation + 1
            missing = max((-(-extent // stride) - 1) * stride + reach - extent, 0)
            before.append(missing // 2)
            after.append(missing - missing // 2)
        return before + after

    def _write_conv2d(self, node):
        wanted = node.attributes
        kernel = self.array(wanted["kernel"]).transpose(3, 2, 0, 1)
        dilations = wanted.get("dilations", [1, 1])
        inputs = list(node.inputs) + [self.constant(node.name + "/kernel", kernel)]
        if "bias" in wanted:
            inputs.append(self.constant(node.name + "/bias", self.array(wanted["bias"])))
        self.add("Conv", inputs, node.name, kernel_shape=kernel.shape[2:], strides=wanted["strides"],
                 dilations=dilations, group=wanted.get("groups", 1),
                 pads=self._pads(node, kernel.shape[2:], wanted["strides"], dilations))

    def _write_dense(self, node):
        wanted = node.attributes
        kernel = self.array(wanted["kernel"]).T[:, :, None, None]  # a convolution of one pixel
        inputs = list(node.inputs) + [self.constant(node.name + "/kernel", kernel)]
        if "bias" in wanted:
            inputs.append(self.constant(node.name + "/bias", self.array(wanted["bias"])))
        self.add("Conv", inputs, node.name, kernel_shape=[1, 1])

    def _write_batch_norm(self, node):
        wanted = node.attributes
        ones = np.ones(self.array(wanted["mean"]).shape, np.float32)
        parts = [self.array(wanted["gamma"]) if "gamma" in wanted else ones,
                 self.array(wanted["beta"]) if "beta" in wanted else 0 * ones,
                 self.array(wanted["mean"]), self.array(wanted["variance"])]
        inputs = [self.constant("{}/{}".format(node.name, role), part)
                  for role, part in zip(("gamma", "beta", "mean", "variance"), parts)]
        self.add("BatchNormalization", list(node.inputs) + inputs, node.name,
                 epsilon=wanted["epsilon"])

    def _write_bias(self, node):
        self.add("Add", [node.inputs[0], self.per_channel(node, "bias")], node.name)

    def _write_scale(self, node):
        self.add("Mul", [node.inputs[0], self.per_channel(node, "gamma")], node.name)

    def _write_prelu(self, node):
        self.add("PRelu", [node.inputs[0], self.per_channel(node, "alpha")], node.name)

    def _clip(self, node, low, high):
        bounds = ["" if value is None else self._number(node, name, value)
                  for name, value in (("low", low), ("high", high))]
        self.add("Clip", [node.inputs[0]] + bounds, node.name)

    def _write_relu(self, node):
        if "max_value" in node.attributes:
            self._clip(node, 0.0, node.attributes["max_value"])
        else:
            self.add("Relu", node.inputs, node.name)

    def _write_clip(self, node):
        self._clip(node, node.attributes.get("min_value"), node.attributes.get("max_value"))

    def _write_activation(self, node):
        function, source = node.attributes["function"], node.inputs[0]
        if function in _FUNCTIONS:
            op, attributes = _FUNCTIONS[function]
            self.add(op, [source], node.name, **dict(
                (key, node.attributes.get(key, value)) for key, value in attributes.items()))
        elif function == "square":
            self.add("Mul", [source, source], node.name)
        elif function in ("gelu", "gelu_tanh"):
            self._gelu(node, source, function)
        else:
            self.add("Mul", [source, self._gate(node, source, function)], node.name)

    def _gate(self, node, source, function):
        """What a number is multiplied by."""
        name = node.name + "/gate"
        if function == "silu":
            return self.add("Sigmoid", [source], name)
        if function == "hard_swish":
            return self.add("HardSigmoid", [source], name, alpha=node.attributes.get("alpha", 1 / 6),
                            beta=node.attributes.get("beta", 0.5))
        if function == "mish":
            return self.add("Tanh", [self.add("Softplus", [source], node.name + "/softplus")], name)
        raise GraphError("{}: node '{}' has the function '{}', which cannot be exported to ONNX".format(
            self._network.name, node.name[len(_PREFIX):], function))

    def _gelu(self, node, source, function):
        """x / 2 * (1 + erf(x / sqrt 2)), or its approximation by a hyperbolic tangent."""
        def times(value, factor, name):
            return self.add("Mul", [value, self._number(node, name + "_by", factor)],
                            "{}/{}".format(node.name, name))

        if function == "gelu":
            curve = self.add("Erf", [times(source, math.sqrt(0.5), "scaled")], node.name + "/erf")
        else:
            cube = self.add("Mul", [self.add("Mul", [source, source], node.name + "/square"), source],
                            node.name + "/cube")
            inner = self.add("Add", [source, times(cube, 0.044715, "third")], node.name + "/inner")
            curve = self.add("Tanh", [times(inner, math.sqrt(2 / math.pi), "scaled")],
                             node.name + "/tanh")
        share = self.add("Add", [curve, self._number(node, "one", 1.0)], node.name + "/share")
        self.add("Mul", [times(source, 0.5, "half"), share], node.name)

    def _pool(self, node, op, pads, source=None, **attributes):
        wanted = node.attributes
        self.add(op, [source or node.inputs[0]], node.name, kernel_shape=wanted["pool_size"],
                 strides=wanted["strides"], pads=pads, **attributes)

    def _pads_of_pool(self, node):
        """The attribute pads, and how much more the last windows reach with ceil_mode."""
        wanted = node.attributes
        pads = self._pads(node, wanted["pool_size"], wanted["strides"], (1, 1))
        more = [0, 0, 0, 0]
        for axis in range(2) if wanted.get("ceil_mode", False) else ():
            extent = self.shape_of(node.inputs[0])[axis]
            size, stride = wanted["pool_size"][axis], wanted["strides"][axis]
            whole = extent + pads[axis] + pads[axis + 2]
            count = -(-(whole - size) // stride) + 1
            if (count - 1) * stride >= extent + pads[axis]:
                count -= 1  # it would begin in the padding
            more[axis + 2] = max((count - 1) * stride + size - whole, 0)
        return pads, more

    def _write_max_pool(self, node):
        pads, more = self._pads_of_pool(node)
        self._pool(node, "MaxPool", [one + other for one, other in zip(pads, more)])

    def _write_average_pool(self, node):
        pads, more = self._pads_of_pool(node)
        counts = node.attributes.get("count_include_padding", False)
        if not counts or not any(more):
            self._pool(node, "AveragePool", [one + other for one, other in zip(pads, more)],
                       count_include_pad=int(counts))
            return
        # Padding counts, what lies beyond it does not: only the latter is left to the pool.
        wide = self.constant(node.name + "/pads", np.array([0, 0] + pads[:2] + [0, 0] + pads[2:]))
        padded = self.add("Pad", [node.inputs[0], wide], node.name + "/padded")
        self._pool(node, "AveragePool", more, padded, count_include_pad=0)

    def _write_global_average_pool(self, node):
        self.add("GlobalAveragePool", node.inputs, node.name)

    def _write_global_max_pool(self, node):
        self.add("GlobalMaxPool", node.inputs, node.name)

    def _write_concat(self, node):
        self.add("Concat", node.inputs, node.name,
                 axis=AXES[node.attributes.get("axis", "channels")])

    def _write_add(self, node):
        self.add("Add" if len(node.inputs) == 2 else "Sum", node.inputs, node.name)

    def _write_multiply(self, node):
        self.add("Mul", node.inputs, node.name)

    def _write_subtract(self, node):
        self.add("Sub", node.inputs, node.name)

    def _write_divide(self, node):
        self.add("Div", node.inputs, node.name)

    def _write_maximum(self, node):
        self.add("Max", node.inputs, node.name)

    def _write_minimum(self, node):
        self.add("Min", node.inputs, node.name)

    def _write_pad(self, node):
        top, left, bottom, right = node.attributes["padding"]
        pads = self.constant(node.name + "/pads", np.array([0, 0, top, left, 0, 0, bottom, right]))
        self.add("Pad", [node.inputs[0], pads, self._number(
            node, "value", node.attributes.get("value", 0.0))], node.name)

    def _write_flatten(self, node):
        source = node.inputs[0]
        if not node.attributes.get("channels_first", False):
            source = self.add("Transpose", [source], node.name + "/pixels", perm=[0, 2, 3, 1])
        shape = self.constant(node.name + "/shape", np.array([0, -1, 1, 1]))
        self.add("Reshape", [source, shape], node.name)

    def _write_softmax(self, node):
        self.add("Softmax", node.inputs, node.name, axis=1)
