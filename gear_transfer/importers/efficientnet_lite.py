"""EfficientNet-Lite from a safetensors file with the names of its PyTorch weights.

M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks", ICML 2019, in the Lite variant of TensorFlow: no squeeze and
excitation, ReLU6, stem and head of one width.
"""
import collections
import math

import numpy as np

from .network import Network, Node, needed_nodes, used_arrays
from .on_disk import keep_on_disk
from .operations import check_nodes
from .preprocessing import ASKED_FOR
from .safetensors import TensorFile

EPSILON = 1e-3
LARGEST_VALUE = 6.0

#: The network sees ``(uint8 - 127) / 128``.
PREPROCESSING = {"scale": 1.0 / 128, "offset": -127.0 / 128}

#: A stage of blocks: repeats, side of the depthwise kernel, stride of the first block, factor of
#: the expansion, channels out; before scaling.
_Stage = collections.namedtuple("_Stage", ["repeats", "side", "stride", "expansion", "channels"])
_STAGES = (
    _Stage(1, 3, 1, 1, 16), _Stage(2, 3, 2, 6, 24), _Stage(2, 5, 2, 6, 40), _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112), _Stage(4, 5, 2, 6, 192), _Stage(1, 3, 1, 6, 320))
_STEM, _HEAD = 32, 1280

#: Factors of width and depth, and native size.
VARIANTS = collections.OrderedDict([
    ("efficientnet_lite0", (1.0, 1.0, 224)), ("efficientnet_lite1", (1.0, 1.1, 240)),
    ("efficientnet_lite2", (1.1, 1.2, 260)), ("efficientnet_lite3", (1.2, 1.4, 280)),
    ("efficientnet_lite4", (1.4, 1.8, 300))])

_NORMALISATION = (("gamma", "weight"), ("beta", "bias"), ("mean", "running_mean"),
                  ("variance", "running_var"))

#: An array of the network: the tensor it comes from, the tensor's shape, and the order of axes.
_Wanted = collections.namedtuple("_Wanted", ["tensor", "shape", "axes"])


class _Description(object):
    """Nodes and wanted arrays, gathered layer by layer."""

    def __init__(self):
        self.nodes = [Node("input", "input", (), {"channels": 3})]
        self.wanted = collections.OrderedDict()

    def add(self, name, op, inputs, attributes=None):
        self.nodes.append(Node(name, op, inputs, attributes))
        return name

    def want(self, array, tensor, shape, axes=None):
        self.wanted[array] = _Wanted(tensor, shape, axes)
        return array

    def conv(self, source, name, tensors, shape, stride=1, groups=1, last=None, clip=True):
        """Convolution without bias, batch normalisation, and ReLU6 with `clip`.

        `tensors` names convolution and normalisation; `last` is the name of the last node.
        """
        out = shape[0]
        attributes = {"kernel": self.want(name + "/kernel", tensors[0] + ".weight", shape,
                                          (2, 3, 1, 0)),
                      "strides": [stride, stride], "padding": "same"}
        if groups > 1:
            attributes["groups"] = groups
        x = self.add(name + "/conv", "conv2d", [source], attributes)
        norm = dict((role, self.want("{}/{}".format(name, role),
                                     "{}.{}".format(tensors[1], tensor), (out,)))
                    for role, tensor in _NORMALISATION)
        norm["epsilon"] = EPSILON
        if not clip:
            return self.add(last or name + "/norm", "batch_norm", [x], norm)
        x = self.add(name + "/norm", "batch_norm", [x], norm)
        return self.add(last or name, "relu", [x], {"max_value": LARGEST_VALUE})

    def block(self, source, number, stage, stride, channels_in, channels_out):
        """An inverted residual; its last node is ``block<number>``."""
        name, tensors = "block{}".format(number), "_blocks.{}.".format(number)
        width = channels_in * stage.expansion
        x = source
        if stage.expansion > 1:
            x = self.conv(x, name + "/expand", (tensors + "_expand_conv", tensors + "_bn0"),
                          (width, channels_in, 1, 1))
        x = self.conv(x, name + "/depthwise", (tensors + "_depthwise_conv", tensors + "_bn1"),
                      (width, 1, stage.side, stage.side), stride, groups=width)
        is_residual = stride == 1 and channels_in == channels_out
        x = self.conv(x, name + "/project", (tensors + "_project_conv", tensors + "_bn2"),
                      (channels_out, width, 1, 1), last=None if is_residual else name, clip=False)
        return self.add(name, "add", [x, source]) if is_residual else x


def _rounded(channels, width):
    """Channels after scaling, a multiple of 8 that is not a tenth smaller."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def architecture(variant, classes=1000):
    """Nodes of an EfficientNet-Lite, and where their arrays come from.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`.
    classes : int

    Returns
    -------
    nodes : list of Node
        ``block0`` and so on are the ends of the blocks, ``head`` is the last
        map, ``pool`` its average, and ``logits`` the scores of the classes.
    wanted : OrderedDict of str to (tensor, shape, axes)
        Array name to the tensor that it is made from, its shape, and the order
        of its axes in ours or None.
    """
    width, depth, _ = VARIANTS[variant]
    net = _Description()
    x = net.conv("input", "stem", ("_conv_stem", "_bn0"), (_STEM, 3, 3, 3), stride=2)
    channels, number = _STEM, 0
    for stage in _STAGES:
        is_fixed = stage in (_STAGES[0], _STAGES[-1])
        out = _rounded(stage.channels, width)
        for i in range(stage.repeats if is_fixed else int(math.ceil(stage.repeats * depth))):
            x = net.block(x, number, stage, stage.stride if i == 0 else 1, channels, out)
            channels, number = out, number + 1
    x = net.conv(x, "head", ("_conv_head", "_bn1"), (_HEAD, channels, 1, 1))
    x = net.add("pool", "global_average_pool", [x])
    net.add("logits", "dense", [x], {
        "kernel": net.want("logits/kernel", "_fc.weight", (classes, _HEAD), (1, 0)),
        "bias": net.want("logits/bias", "_fc.bias", (classes,))})
    return net.nodes, net.wanted


def load_efficientnet_lite(path, layer=None, preprocessing=None):
    """Read an EfficientNet-Lite from a safetensors file.

    Parameters
    ----------
    path : str
    layer : str, optional
        Read only what this layer needs.
    preprocessing : dict, optional
        See `preprocessing.resolve`, in place of a scale of 1 / 128 and an offset of -127 / 128.

    Returns
    -------
    Network

    Raises
    ------
    WeightsError
        Naming the file, the tensor and what is wrong with it.
    GraphError
        If `layer` does not exist.
    """
    with TensorFile(path) as source:
        variant = _variant(source)
        shape = source.shapes.get("_fc.weight", ())
        nodes, wanted = architecture(variant, shape[0] if len(shape) == 2 else 1000)
        unknown = sorted(set(source.shapes) - set(want.tensor for want in wanted.values()))
        if unknown:
            source.fail("tensor '{}' is not one of {}".format(unknown[0], variant))
        if layer is not None:
            nodes = needed_nodes(nodes, layer)
        arrays = keep_on_disk(_read_arrays(source, wanted, used_arrays(nodes)))
    check_nodes(nodes, arrays, path)
    size = VARIANTS[variant][2]
    return Network(variant, nodes, arrays, (size, size), preprocessing or PREPROCESSING,
                   {"format": "safetensors, PyTorch names"},
                   preprocessing_reason=ASKED_FOR if preprocessing else "tensors named as those of "
                   "EfficientNet-Lite")


def _variant(source):
    """Which of the variants a file holds, told by its number of blocks and its widths."""
    for variant in VARIANTS:
        last = [want for want in architecture(variant)[1].values()
                if want.tensor.endswith("_project_conv.weight")][-1]
        if source.shapes.get(last.tensor) == last.shape and source.shapes.get(
                "_conv_head.weight") == (_HEAD, last.shape[0], 1, 1):
            return variant
    source.fail("has the tensor '_conv_stem.weight' of an EfficientNet-Lite, but not the last blocks "
                "and head of one of its variants ({})".format(", ".join(VARIANTS)))


def _read_arrays(source, wanted, names):
    """Yield the named arrays with our order of axes, each tensor checked."""
    for name in names:
        want = wanted[name]
        values = source.array(want.tensor, want.shape)
        if name.endswith("/variance") and values.min() < 0.0:
            source.fail("tensor '{}' holds a negative number".format(want.tensor))
        yield name, values if want.axes is None else np.ascontiguousarray(
            values.transpose(want.axes))
