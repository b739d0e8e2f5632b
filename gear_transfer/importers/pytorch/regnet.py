"""RegNet X and Y, as timm and as torchvision name them.

I. Radosavovic and others, "Designing Network Design Spaces", CVPR 2020.
"""
from .description import Description

TIMM_SIGNATURE = ("stem.conv.weight", "s1.b1.conv1.conv.weight", "s1.b1.conv3.conv.weight")
TORCHVISION_SIGNATURE = ("stem.0.weight", "trunk_output.block1.block1-0.f.a.0.weight")

#: Blocks in all, and channels of the last stage, by the name in timm.
_X = {"002": (13, 368), "004": (22, 384), "004_tv": (22, 400), "006": (16, 528), "008": (16, 672),
      "016": (18, 912), "032": (25, 1008), "040": (23, 1360), "064": (17, 1624), "080": (23, 1920),
      "120": (19, 2240), "160": (22, 2048), "320": (23, 2520)}
_Y = {"002": (13, 368), "004": (16, 440), "006": (15, 608), "008": (14, 768), "008_tv": (14, 784),
      "016": (27, 888), "032": (21, 1512), "040": (22, 1088), "064": (25, 1296), "080": (17, 2016),
      "080_tv": (17, 2016), "120": (19, 2240), "160": (18, 3024), "320": (20, 3712)}
VARIANTS = dict(("regnet{}_{}".format(letter, name), value + (letter,))
                for letter, table in (("x", _X), ("y", _Y)) for name, value in table.items())


def build_timm(net, config):
    """Describe a network with timm's names; see `families`."""
    return _build(net, config, "s{}", "b{}", 1, ("conv1", "conv2", "se", "conv3", "downsample"),
                  (".conv", ".bn"), "head.fc")


def build_torchvision(net, config):
    """Describe a network with torchvision's names; see `families`."""
    return _build(net, config, "trunk_output.block{}", "block{stage}-{}", 0,
                  ("f.a", "f.b", "f.se", "f.c", "proj"), (".0", ".1"), "fc")


def _build(net, config, stages, blocks, first, parts, pair, head):
    def conv(source, module, function, **settings):
        return net.conv_norm_act(source, module + pair[0], module + pair[1], function, module,
                                 **settings)

    def block(source, name, stride, node):
        a, b, se, c, shortcut = ["{}.{}".format(name, part) for part in parts]
        x = conv(source, a, "relu")
        x = conv(x, b, "relu", stride=stride, grouped=True)
        if net.has(se + ".fc1.weight"):
            x = net.squeeze_excite(x, se, ("fc1", "fc2"), "relu", "sigmoid")
        width = net.channels[x]
        x = conv(x, c, None)
        if net.channels[x] != width:
            net.fail("tensor '{}{}.weight' makes {} channels of {}; a RegNet X or Y has as many "
                     "within a block as after it".format(c, pair[0], net.channels[x], width))
        if net.has(shortcut + pair[0] + ".weight"):
            source = conv(source, shortcut, None, stride=stride)
        return net.act(net.sum(x, source, name + "/add"), "relu", node)

    x, total = conv("input", "stem", "relu", stride=2), 0
    for stage in range(1, 5):
        name = stages.format(stage)
        form = "{}.{}".format(name, blocks.replace("{stage}", str(stage)))
        depth = net.count(form + ".{}{}.weight".format(parts[0], pair[0]), first)
        if not depth:
            net.fail("the tensor '{}.{}{}.weight' is missing".format(
                form.format(first), parts[0], pair[0]))
        for index in range(depth):
            node = name if index == depth - 1 else form.format(first + index)
            x = block(x, form.format(first + index), 1 if index else 2, node)
        total += depth
    letter = "y" if net.has("{}.{}.fc1.weight".format(form.format(first), parts[2])) else "x"
    name = config.choose(net, "RegNet", VARIANTS, (total, net.channels[x], letter))
    net.head(net.add("global_pool", "global_average_pool", [x]), head)
    return Description(name or "regnet" + letter, (224, 224), name and "torch")
