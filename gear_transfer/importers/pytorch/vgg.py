"""VGG with and without batch normalisation, as torchvision and timm name it.

K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015. The numbers of the modules say where the pools stand: each takes one.
"""
from .description import Description

SIGNATURE = ("features.0.weight", "features.0.bias")

#: Numbers of convolutions between two pools.
_DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3),
           "vgg19": (2, 2, 4, 4, 4)}
VARIANTS = dict((name + ending, (depths, bool(ending))) for name, depths in _DEPTHS.items()
                for ending in ("", "_bn"))


def build(net, config):
    """Describe the network; see `families`."""
    has_norm = net.has("features.1.running_mean")
    step = 3 if has_norm else 2
    convs = sorted(int(name.split(".")[1]) for name in net.source.shapes
                   if name.startswith("features.") and name.endswith(".weight")
                   and name.split(".")[1].isdigit() and len(name) < 30
                   and len(net.source.shapes[name]) == 4)
    x, depths = "input", [0]
    for place, number in enumerate(convs):
        module = "features.{}"
        x = net.conv(x, module.format(number))
        if has_norm:
            x = net.norm(x, module.format(number + 1))
        x = net.act(x, "relu", module.format(number + step - 1))
        depths[-1] += 1
        after = convs[place + 1] if place + 1 < len(convs) else number + step + 1
        if after == number + step + 1:
            x = net.pool(x, "max_pool", 2, 2, 0, module.format(number + step))
            depths.append(0)
        elif after != number + step:
            net.fail("the tensor 'features.{}.weight' is missing".format(number + step))
    name = config.choose(net, "VGG", VARIANTS, (tuple(depths[:-1]), has_norm))
    if net.has("pre_logits.fc1.weight"):
        _convolutional_head(net, x)
    elif net.has("classifier.0.weight"):
        _dense_head(net, x)
    return Description(name or "vgg", (224, 224), name and "torch")


def _convolutional_head(net, x):
    """As timm has it: fully connected layers as convolutions over a map of any size."""
    for number in (1, 2):
        x = net.conv(x, "pre_logits.fc{}".format(number), padding=[0] * 4)
        x = net.act(x, "relu", "pre_logits" if number == 2 else "pre_logits.act1")
    net.head(net.add("head.global_pool", "global_average_pool", [x]), "head.fc")


def _dense_head(net, x):
    """As torchvision has it: for a last map of 7 x 7, which at 224 x 224 is as the pool leaves it."""
    shape = net.shape("classifier.0.weight", 2)
    x = net.add("flatten", "flatten", [x], {"channels_first": True}, channels=shape[1])
    for number in (0, 3, 6):
        x = net.head(x, "classifier.{}".format(number))
        if number < 6 and net.has("classifier.{}.weight".format(number)):
            x = net.act(x, "relu", "classifier.{}".format(number + 1))
