"""DenseNet, with the names that torchvision and timm share.

G. Huang and others, "Densely Connected Convolutional Networks", CVPR 2017.
"""
from .description import Description

SIGNATURE = ("features.conv0.weight", "features.denseblock1.denselayer1.norm1.weight")

#: Layers of each block.
VARIANTS = {"densenet121": (6, 12, 24, 16), "densenet161": (6, 12, 36, 24),
            "densenet169": (6, 12, 32, 32), "densenet201": (6, 12, 48, 32)}


def build(net, config):
    """Describe the network; see `families`."""
    x = net.conv_norm_act("input", "features.conv0", "features.norm0", "relu", "features.relu0",
                          stride=2)
    x = net.pool(x, "max_pool", 3, 2, 1, "features.pool0")
    depths = []
    for number in range(1, net.count("features.denseblock{}.denselayer1.conv1.weight", 1) + 1):
        x, depth = _block(net, x, "features.denseblock{}".format(number))
        depths.append(depth)
        transition = "features.transition{}".format(number)
        if net.has(transition + ".conv.weight"):
            x = net.act(net.norm(x, transition + ".norm"), "relu", transition + ".relu")
            x = net.conv(x, transition + ".conv")
            x = net.pool(x, "average_pool", 2, 2, 0, transition)
    x = net.act(net.norm(x, "features.norm5"), "relu", "features")
    net.head(net.add("global_pool", "global_average_pool", [x]), "classifier")
    name = config.choose(net, "DenseNet", VARIANTS, tuple(depths))
    return Description(name or "densenet", (224, 224), name and "torch")


def _block(net, x, block):
    """Layers that each see all that came before, and their number."""
    depth = net.count(block + ".denselayer{}.conv1.weight", 1)
    for number in range(1, depth + 1):
        layer = "{}.denselayer{}".format(block, number)
        y = net.act(net.norm(x, layer + ".norm1"), "relu", layer + ".relu1")
        y = net.conv_norm_act(y, layer + ".conv1", layer + ".norm2", "relu", layer + ".relu2")
        y = net.conv(y, layer + ".conv2", node=layer)
        channels = net.channels[x] + net.channels[y]
        x = net.add(block if number == depth else layer + "/concat", "concat", [x, y], {}, channels)
    return x, depth
