"""ResNet, ResNeXt, wide ResNet and their kin, with the names that torchvision and timm share.

K. He and others, "Deep Residual Learning for Image Recognition", CVPR 2016; the stride of a
bottleneck stands at its 3 x 3 convolution.
"""
from .description import Description

SIGNATURE = ("bn1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer4.0.conv2.weight")

#: Blocks of each stage, convolutions in a block, groups, channels of the first stage's 3 x 3.
_PLAIN = {
    "resnet10": ((1, 1, 1, 1), 2, 1, 64), "resnet18": ((2, 2, 2, 2), 2, 1, 64),
    "resnet34": ((3, 4, 6, 3), 2, 1, 64), "resnet26": ((2, 2, 2, 2), 3, 1, 64),
    "resnet50": ((3, 4, 6, 3), 3, 1, 64), "resnet101": ((3, 4, 23, 3), 3, 1, 64),
    "resnet152": ((3, 8, 36, 3), 3, 1, 64), "resnext50_32x4d": ((3, 4, 6, 3), 3, 32, 128),
    "resnext101_32x4d": ((3, 4, 23, 3), 3, 32, 128),
    "resnext101_32x8d": ((3, 4, 23, 3), 3, 32, 256),
    "resnext101_64x4d": ((3, 4, 23, 3), 3, 64, 256),
    "wide_resnet50_2": ((3, 4, 6, 3), 3, 1, 128), "wide_resnet101_2": ((3, 4, 23, 3), 3, 1, 128),
}
#: Those that also exist with a stem of three convolutions and an average pool in the shortcut.
_DEEP = ("resnet18", "resnet26", "resnet34", "resnet50", "resnet101", "resnet152")

VARIANTS = dict((name, value + (False,)) for name, value in _PLAIN.items())
VARIANTS.update((name + "d", _PLAIN[name] + (True,)) for name in _DEEP)


def build(net, config):
    """Describe the network; see `families`."""
    is_deep = net.has("conv1.0.weight")
    x = _deep_stem(net) if is_deep else net.conv("input", "conv1", stride=2)
    x = net.act(net.norm(x, "bn1"), "relu", "act1")
    x = net.pool(x, "max_pool", 3, 2, 1, "maxpool")
    per_block = 3 if net.has("layer1.0.conv3.weight") else 2
    depths = []
    for stage in range(4):
        form = "layer{}.".format(stage + 1)
        depths.append(net.count(form + "{}.conv1.weight"))
        for index in range(depths[-1]):
            is_last = index == depths[-1] - 1
            x = _block(net, x, form + str(index), 2 if stage and not index else 1, per_block,
                       form[:-1] if is_last else form + str(index))
    net.head(net.add("global_pool", "global_average_pool", [x]), "fc")
    shape = net.shape("layer1.0.conv2.weight", 4)
    groups = shape[0] // shape[1]
    found = (tuple(depths), per_block, groups, shape[0], is_deep)
    name = config.choose(net, "ResNet", _named(net, VARIANTS), found)
    return Description(name or "resnet", (224, 224), name and "torch")


def _named(net, variants):
    """The variants, with "se" before the names where there are squeezes."""
    if not net.has("layer1.0.se.fc1.weight"):
        return variants
    return dict(("se" + name, value) for name, value in variants.items())


def _deep_stem(net):
    x = net.conv("input", "conv1.0", stride=2)
    x = net.act(net.norm(x, "conv1.1"), "relu", "conv1.2")
    x = net.conv(x, "conv1.3")
    x = net.act(net.norm(x, "conv1.4"), "relu", "conv1.5")
    return net.conv(x, "conv1.6", node="conv1")


def _block(net, source, name, stride, per_block, node):
    """A residual block of two 3 x 3 convolutions or of a bottleneck."""
    x = source
    strided = 1 if per_block == 2 else 2
    for number in range(1, per_block + 1):
        conv, norm = "{}.conv{}".format(name, number), "{}.bn{}".format(name, number)
        x = net.conv(x, conv, stride if number == strided else 1, grouped=number == 2 < per_block)
        x = net.norm(x, norm)
        if number < per_block:
            x = net.act(x, "relu", "{}.act{}".format(name, number))
    if net.has(name + ".se.fc1.weight"):
        x = net.squeeze_excite(x, name + ".se", ("fc1", "fc2"), "relu", "sigmoid")
    x = net.sum(x, _shortcut(net, source, name + ".downsample", stride), name + "/add")
    return net.act(x, "relu", node)


def _shortcut(net, source, module, stride):
    if net.has(module + ".0.weight"):
        return net.norm(net.conv(source, module + ".0", stride, padding=[0] * 4), module + ".1",
                        module)
    if net.has(module + ".1.weight"):
        if stride > 1:
            source = net.pool(source, "average_pool", stride, stride, 0, module + ".0",
                              ceil_mode=True, count_include_padding=False)
        return net.norm(net.conv(source, module + ".1"), module + ".2", module)
    return source
