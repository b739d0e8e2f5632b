"""The published Inception V3 architecture, without its classifier.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: "Rethinking the Inception
Architecture for Computer Vision", 2015 (arXiv:1512.00567), in the variant
that Keras publishes weights for, with the layer names of Keras 2.2.
"""
from collections import OrderedDict

from .network import Node

INPUT_SIZE = (299, 299)
EPSILON = 1e-3
#: Convolutions, each with a batch normalisation.
CONVOLUTIONS = 94
LAST_LAYER = "mixed10"

#: The network sees ``uint8 / 127.5 - 1``.
PREPROCESSING = {"scale": 1.0 / 127.5, "offset": -1.0}


class _Description(object):
    """Nodes and array shapes, gathered layer by layer in the order of Keras's numbers."""

    def __init__(self):
        self.nodes = [Node("input_1", "input", (), {"channels": 3})]
        self.shapes = OrderedDict()
        self.channels = {"input_1": 3}
        self.numbers = {}

    def numbered(self, kind):
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return "{}_{}".format(kind, self.numbers[kind])

    def add(self, name, op, inputs, attributes, channels):
        self.nodes.append(Node(name, op, inputs, attributes))
        self.channels[name] = channels
        return name

    def conv(self, source, filters, height, width, strides=1, padding="same"):
        """Convolution without bias, batch normalisation without gamma, ReLU."""
        conv = self.numbered("conv2d")
        norm = self.numbered("batch_normalization")
        self.shapes[conv + "/kernel"] = (height, width, self.channels[source], filters)
        for role in ("beta", "mean", "variance"):
            self.shapes[norm + "/" + role] = (filters,)
        self.add(conv, "conv2d", [source],
                 {"kernel": conv + "/kernel", "strides": [strides, strides], "padding": padding},
                 filters)
        self.add(norm, "batch_norm", [conv],
                 {"beta": norm + "/beta", "mean": norm + "/mean",
                  "variance": norm + "/variance", "epsilon": EPSILON}, filters)
        return self.add(self.numbered("activation"), "relu", [norm], {}, filters)

    def chain(self, source, *steps):
        """Several convolutions one after the other; a step is (filters, height, width)."""
        for filters, height, width in steps:
            source = self.conv(source, filters, height, width)
        return source

    def max_pool(self, source):
        return self.add(self.numbered("max_pooling2d"), "max_pool", [source],
                        {"pool_size": [3, 3], "strides": [2, 2], "padding": "valid"},
                        self.channels[source])

    def average_pool(self, source):
        return self.add(self.numbered("average_pooling2d"), "average_pool", [source],
                        {"pool_size": [3, 3], "strides": [1, 1], "padding": "same",
                         "count_include_padding": False}, self.channels[source])

    def concat(self, name, *sources):
        return self.add(name, "concat", sources, {}, sum(self.channels[s] for s in sources))


def _stem(net):
    x = net.conv("input_1", 32, 3, 3, strides=2, padding="valid")
    x = net.conv(x, 32, 3, 3, padding="valid")
    x = net.conv(x, 64, 3, 3)
    x = net.max_pool(x)
    x = net.conv(x, 80, 1, 1, padding="valid")
    x = net.conv(x, 192, 3, 3, padding="valid")
    return net.max_pool(x)


def _block_35(net, x, name, pool_filters):
    """Blocks on the 35 x 35 map: branches 1x1, 5x5, double 3x3, pool."""
    one = net.conv(x, 64, 1, 1)
    five = net.chain(x, (48, 1, 1), (64, 5, 5))
    double = net.chain(x, (64, 1, 1), (96, 3, 3), (96, 3, 3))
    pool = net.conv(net.average_pool(x), pool_filters, 1, 1)
    return net.concat(name, one, five, double, pool)


def _reduce_35(net, x, name):
    """From 35 x 35 to 17 x 17."""
    three = net.conv(x, 384, 3, 3, strides=2, padding="valid")
    double = net.chain(x, (64, 1, 1), (96, 3, 3))
    double = net.conv(double, 96, 3, 3, strides=2, padding="valid")
    return net.concat(name, three, double, net.max_pool(x))


def _block_17(net, x, name, narrow):
    """Blocks on the 17 x 17 map, with 7x7 factored into 1x7 and 7x1."""
    one = net.conv(x, 192, 1, 1)
    seven = net.chain(x, (narrow, 1, 1), (narrow, 1, 7), (192, 7, 1))
    double = net.chain(x, (narrow, 1, 1), (narrow, 7, 1), (narrow, 1, 7), (narrow, 7, 1),
                       (192, 1, 7))
    pool = net.conv(net.average_pool(x), 192, 1, 1)
    return net.concat(name, one, seven, double, pool)


def _reduce_17(net, x, name):
    """From 17 x 17 to 8 x 8."""
    three = net.conv(x, 192, 1, 1)
    three = net.conv(three, 320, 3, 3, strides=2, padding="valid")
    seven = net.chain(x, (192, 1, 1), (192, 1, 7), (192, 7, 1))
    seven = net.conv(seven, 192, 3, 3, strides=2, padding="valid")
    return net.concat(name, three, seven, net.max_pool(x))


def _block_8(net, x, name, first_name):
    """Blocks on the 8 x 8 map, whose 3x3 branches fan out into 1x3 and 3x1."""
    one = net.conv(x, 320, 1, 1)
    three = net.conv(x, 384, 1, 1)
    three = net.concat(first_name, net.conv(three, 384, 1, 3), net.conv(three, 384, 3, 1))
    double = net.chain(x, (448, 1, 1), (384, 3, 3))
    double = net.concat(net.numbered("concatenate"),
                        net.conv(double, 384, 1, 3), net.conv(double, 384, 3, 1))
    pool = net.conv(net.average_pool(x), 192, 1, 1)
    return net.concat(name, one, three, double, pool)


def architecture():
    """Nodes of Inception V3 up to mixed10 and the shapes of their arrays.

    Returns
    -------
    nodes : list of Node
    shapes : OrderedDict of str to tuple of int
        Array name ("conv2d_1/kernel", "batch_normalization_1/mean", ...) to
        shape; kernels are (height, width, channels in, channels out).
    """
    net = _Description()
    x = _stem(net)
    for index, pool_filters in enumerate((32, 64, 64)):
        x = _block_35(net, x, "mixed{}".format(index), pool_filters)
    x = _reduce_35(net, x, "mixed3")
    for index, narrow in enumerate((128, 160, 160, 192)):
        x = _block_17(net, x, "mixed{}".format(4 + index), narrow)
    x = _reduce_17(net, x, "mixed8")
    for index in range(2):
        x = _block_8(net, x, "mixed{}".format(9 + index), "mixed9_{}".format(index))
    return net.nodes, net.shapes
