"""ConvNeXt and ConvNeXt V2 as timm names them, and ConvNeXt as torchvision does.

Z. Liu and others, "A ConvNet for the 2020s", CVPR 2022; S. Woo and others, "ConvNeXt V2", CVPR 2023.
"""
import numpy as np

from .description import Description

TIMM_SIGNATURE = ("stem.0.weight", "stages.0.blocks.0.conv_dw.weight",
                  "stages.0.blocks.0.mlp.fc1.weight")
TORCHVISION_SIGNATURE = ("features.0.0.weight", "features.1.0.block.0.weight",
                         "features.1.0.layer_scale")

EPSILON = 1e-6

#: Blocks of each stage, and channels of the first.
_SIZES = {"atto": ((2, 2, 6, 2), 40), "femto": ((2, 2, 6, 2), 48), "pico": ((2, 2, 6, 2), 64),
          "nano": ((2, 2, 8, 2), 80), "tiny": ((3, 3, 9, 3), 96), "small": ((3, 3, 27, 3), 96),
          "base": ((3, 3, 27, 3), 128), "large": ((3, 3, 27, 3), 192),
          "xlarge": ((3, 3, 27, 3), 256), "huge": ((3, 3, 27, 3), 352)}
VARIANTS = dict((family + size, value + (family == "convnextv2_",)) for size, value in _SIZES.items()
                for family in ("convnext_", "convnextv2_"))


class _Names(object):
    """Where each part of a network is."""

    def __init__(self, stages, downsample, parts, pool, head_norm, head):
        self.stages, self.downsample, self.parts = stages, downsample, parts
        self.pool, self.head_norm, self.head = pool, head_norm, head


def build_timm(net, config):
    """Describe a network with timm's names; see `families`."""
    stages = ["stages.{}".format(index) for index in range(4)]
    names = _Names([stage + ".blocks" for stage in stages],
                   [("stem.0", "stem.1", "stem")] + [
                       (stage + ".downsample.0", stage + ".downsample.1", stage + ".downsample")
                       for stage in stages[1:]],
                   ("conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"), "head.global_pool",
                   "head.norm", "head.fc")
    return _build(net, config, names, stages, None)


def build_torchvision(net, config):
    """Describe a network with torchvision's names; see `families`."""
    stages = ["features.{}".format(index) for index in (1, 3, 5, 7)]
    names = _Names(stages, [("features.0.0", "features.0.1", "features.0")] + [
        ("features.{}.0".format(index), "features.{}.1".format(index), "features.{}".format(index))
        for index in (2, 4, 6)], ("block.0", "block.2", "block.3", "block.5", "layer_scale"),
                   "avgpool", "classifier.0", "classifier.2")
    return _build(net, config, names, stages, "torch")


def _build(net, config, names, ends, preprocessing):
    depths = tuple(net.count("{}.{{}}.{}.weight".format(stage, names.parts[0]))
                   for stage in names.stages)
    width = net.shape(names.downsample[0][0] + ".weight", 4)[0]
    has_response = net.has("{}.0.mlp.grn.weight".format(names.stages[0]))
    found = (depths, width, has_response)
    name = config.choose(net, "ConvNeXt", VARIANTS, found)
    if name is None:
        net.fail("has the names of a ConvNeXt, but {} blocks from {} channels on are not those of one "
                 "that is read ({})".format(list(depths), width, ", ".join(sorted(VARIANTS))))
    x = "input"
    for stage, (first, second, node) in enumerate(names.downsample):
        if stage == 0:
            x = net.conv(x, first, stride=_side(net, first), padding=[0] * 4)
            x = net.layer_norm(x, second, EPSILON, node)
        else:
            x = net.layer_norm(x, first, EPSILON)
            x = net.conv(x, second, stride=_side(net, second), padding=[0] * 4, node=node)
        for index in range(depths[stage]):
            block = "{}.{}".format(names.stages[stage], index)
            x = _block(net, x, block, names.parts, ends[stage] if index == depths[stage] - 1 else block)
    x = net.add(names.pool, "global_average_pool", [x])
    if net.has(names.head_norm + ".weight"):
        x = net.layer_norm(x, names.head_norm, EPSILON)
    net.head(x, names.head)
    return Description(name, (224, 224), preprocessing)


def _side(net, module):
    """The stride of a convolution whose windows lie side by side."""
    shape = net.shape(module + ".weight", 4)
    if shape[2] != shape[3]:
        net.fail("tensor '{}.weight' has shape {}, expected a square kernel".format(
            module, list(shape)))
    return shape[2]


def _block(net, source, name, parts, node):
    conv, norm, first, second, gamma = ["{}.{}".format(name, part) for part in parts]
    x = net.layer_norm(net.conv(source, conv, grouped=True), norm, EPSILON)
    x = net.linear(x, first + ".weight", first + ".bias", first)
    x = net.act(x, "gelu", first + "/act")
    response = name + ".mlp.grn"
    if net.has(response + ".weight"):
        x = _response_norm(net, x, response)
    x = net.linear(x, second + ".weight", second + ".bias", second)
    if net.has(gamma):
        x = net.scale(x, gamma, gamma)
    return net.sum(x, source, node)


def _response_norm(net, x, name):
    """Global response normalisation: x * (1 + weight * n) + bias, n the channel's share of length."""
    channels = net.channels[x]
    weight, bias = name + ".weight", name + ".bias"
    length = net.add(name + "/length", "reduce", [x], {"axis": "map", "function": "l2"})
    mean = net.add(name + "/mean", "reduce", [length], {"axis": "channels", "function": "mean"}, 1)
    epsilon = net.want(name + "/epsilon", [], lambda: np.full(1, EPSILON, np.float32))
    mean = net.add(name + "/safe", "bias", [mean], {"bias": epsilon})
    share = net.add(name + "/share", "divide", [length, mean])
    share = net.scale(share, weight, name + "/weighted")
    ones = net.want(name + "/ones", [], lambda: np.ones(channels, np.float32))
    share = net.add(name + "/factor", "bias", [share], {"bias": ones})
    x = net.add(name + "/product", "multiply", [x, share])
    return net.add(name, "bias", [x], {"bias": net.vector(bias, channels)})
