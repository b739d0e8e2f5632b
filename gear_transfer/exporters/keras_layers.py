"""Each operation of a network as layers of Keras 3.

Vectors are maps of one pixel here too, so that every layer works on (n, height, width, channels).
"""
import numpy as np

from ..errors import GraphError
from ..importers.network import ChannelQuantizedArray, QuantizedArray

#: Functions of one number that Keras has under these names.
_ACTIVATIONS = {"elu": "elu", "selu": "selu", "gelu": "gelu", "silu": "silu", "sigmoid": "sigmoid",
                "tanh": "tanh", "softplus": "softplus", "softsign": "softsign", "mish": "mish",
                "exp": "exponential", "hard_sigmoid": "hard_sigmoid", "hard_swish": "hard_swish"}


class Layer(object):
    """A layer: its class in Keras, its settings, the layers that it reads, and its weights in order."""

    def __init__(self, kind, settings, inputs, weights=()):
        self.kind, self.settings, self.inputs = kind, settings, list(inputs)
        self.weights = [np.asarray(each, np.float32) for each in weights]


class LayerWriter(object):
    """Layers by name, gathered operation by operation.

    Parameters
    ----------
    network : Network

    Attributes
    ----------
    layers : dict of str to Layer
        Of names without a slash, which Keras does not allow.
    """

    def __init__(self, network):
        self._network = network
        self.layers = {}
        self._names = {}

    def write(self, node):
        """Add what computes a node and return the name of the layer that has the result.

        Raises
        ------
        GraphError
            Its operation cannot be exported.
        """
        method = getattr(self, "_write_" + node.op, None)
        if method is None:
            self._refuse(node, "the operation '{}'".format(node.op))
        inputs = [self._names[name] for name in node.inputs]
        self._names[node.name] = method(node, inputs)
        return self._names[node.name]

    def add(self, name, kind, inputs, settings=None, weights=()):
        """A layer, whose name is returned: that one, or one like it that is free."""
        free = name.replace("/", ".")
        while free in self.layers:
            free += "_"
        self.layers[free] = Layer(kind, dict(settings or {}), inputs, weights)
        return free

    def _refuse(self, node, what):
        raise GraphError("{}: node '{}' has {}, which cannot be exported to Keras".format(
            self._network.name, node.name, what))

    def _array(self, name):
        values = self._network.arrays[name]
        if isinstance(values, (ChannelQuantizedArray, QuantizedArray)):
            return values.dequantize()
        return np.asarray(values, np.float32)

    def _write_input(self, node, inputs):
        pixels, channels = self._network.preprocessing, node.attributes["channels"]
        images = self.add("images", "InputLayer", [], {
            "batch_shape": [None] + list(self._network.input_size) + [channels], "dtype": "uint8"})
        scale, offset = [np.broadcast_to(np.array(pixels[key], float), (channels,)).tolist()
                         for key in ("scale", "offset")]
        if pixels.get("channels") != "bgr":
            return self.add(node.name, "Rescaling", [images], {"scale": scale, "offset": offset})
        # No layer changes the order of channels, but a convolution of one pixel can.
        plain = self.add("images.float", "Rescaling", [images], {"scale": 1.0, "offset": 0.0})
        kernel = (np.eye(3)[::-1] * scale)[None, None]
        return self.add(node.name, "Conv2D", [plain], {"filters": 3, "kernel_size": [1, 1]},
                        [kernel, offset])

    def _padded(self, node, inputs, may_hold_zeros=True):
        """What a window reads, and "same" or "valid" for the window itself."""
        padding = node.attributes["padding"]
        if padding in ("same", "valid"):
            return inputs, padding
        if not any(padding):
            return inputs, "valid"
        if not may_hold_zeros:
            self._refuse(node, "the padding {}".format(padding))
        top, left, bottom, right = padding
        return [self.add(node.name + "/pad", "ZeroPadding2D", inputs, {
            "padding": [[top, bottom], [left, right]]})], "valid"

    def _write_conv2d(self, node, inputs):
        wanted = node.attributes
        kernel, groups = self._array(wanted["kernel"]), wanted.get("groups", 1)
        strides, dilations = list(wanted["strides"]), list(wanted.get("dilations", [1, 1]))
        if min(strides) != max(strides) and groups > 1 or max(strides) > 1 and max(dilations) > 1:
            self._refuse(node, "strides {} with dilations {} and groups {}".format(
                strides, dilations, groups))
        inputs, padding = self._padded(node, inputs)
        weights = [kernel] + ([self._array(wanted["bias"])] if "bias" in wanted else [])
        settings = {"kernel_size": list(kernel.shape[:2]), "strides": strides, "padding": padding,
                    "dilation_rate": dilations, "use_bias": "bias" in wanted}
        if groups > 1 and kernel.shape[2] == 1:
            each = kernel.shape[3] // groups
            weights[0] = kernel.reshape(kernel.shape[:2] + (groups, each))
            return self.add(node.name, "DepthwiseConv2D", inputs, dict(settings, depth_multiplier=each),
                            weights)
        return self.add(node.name, "Conv2D", inputs, dict(settings, filters=kernel.shape[3],
                                                          groups=groups), weights)

    def _write_dense(self, node, inputs):
        wanted = node.attributes
        kernel = self._array(wanted["kernel"])
        weights = [kernel] + ([self._array(wanted["bias"])] if "bias" in wanted else [])
        return self.add(node.name, "Dense", inputs, {"units": kernel.shape[1], "use_bias": "bias" in wanted},
                        weights)

    def _write_batch_norm(self, node, inputs):
        wanted = node.attributes
        weights = [self._array(wanted[role]) for role in ("gamma", "beta", "mean", "variance")
                   if role in wanted]
        return self.add(node.name, "BatchNormalization", inputs, {
            "axis": -1, "epsilon": wanted["epsilon"], "scale": "gamma" in wanted,
            "center": "beta" in wanted}, weights)

    def _write_relu(self, node, inputs):
        return self.add(node.name, "ReLU", inputs, {"max_value": node.attributes.get("max_value")})

    def _write_activation(self, node, inputs):
        name = _ACTIVATIONS.get(node.attributes["function"])
        if name is None or len(node.attributes) > 1:
            self._refuse(node, "the function {}".format(sorted(node.attributes.items())))
        return self.add(node.name, "Activation", inputs, {"activation": name})

    def _pool(self, node, inputs, kind, may_hold_zeros):
        wanted = node.attributes
        if wanted.get("ceil_mode", False):
            self._refuse(node, "windows that reach over the edge (ceil_mode)")
        inputs, padding = self._padded(node, inputs, may_hold_zeros)
        return self.add(node.name, kind, inputs, {
            "pool_size": list(wanted["pool_size"]), "strides": list(wanted["strides"]),
            "padding": padding})

    def _write_max_pool(self, node, inputs):
        return self._pool(node, inputs, "MaxPooling2D", False)

    def _write_average_pool(self, node, inputs):
        counts = node.attributes.get("count_include_padding", False)
        if counts and node.attributes["padding"] == "same":
            self._refuse(node, "padding that counts")
        return self._pool(node, inputs, "AveragePooling2D", counts)

    def _write_global_average_pool(self, node, inputs):
        return self.add(node.name, "GlobalAveragePooling2D", inputs, {"keepdims": True})

    def _write_global_max_pool(self, node, inputs):
        return self.add(node.name, "GlobalMaxPooling2D", inputs, {"keepdims": True})

    def _write_concat(self, node, inputs):
        axis = {"channels": -1, "height": 1, "width": 2}[node.attributes.get("axis", "channels")]
        return self.add(node.name, "Concatenate", inputs, {"axis": axis})

    def _write_add(self, node, inputs):
        return self.add(node.name, "Add", inputs)

    def _write_multiply(self, node, inputs):
        return self.add(node.name, "Multiply", inputs)

    def _write_flatten(self, node, inputs):
        if node.attributes.get("channels_first", False):
            inputs = [self.add(node.name + "/order", "Permute", inputs, {"dims": [3, 1, 2]})]
        return self.add(node.name, "Reshape", inputs, {"target_shape": [1, 1, -1]})

    def _write_softmax(self, node, inputs):
        return self.add(node.name, "Softmax", inputs)
