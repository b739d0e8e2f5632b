"""EfficientNet, EfficientNet V2 and MobileNet V3 as torchvision names them.

Each block is a chain of convolutions with normalisations, the last without an activation, and a
squeeze and excite among them.
"""
from .description import Description
from .efficientnet import SCALES, SECOND, SECOND_STRIDES, scaled

STAGES_SIGNATURE = ("features.0.0.weight", "features.0.1.running_mean",
                    "features.1.0.block.0.0.weight", "features.1.0.block.0.1.running_mean")
BLOCKS_SIGNATURE = ("features.0.0.weight", "features.0.1.running_mean",
                    "features.1.block.0.0.weight", "features.1.block.0.1.running_mean")

_SECOND_SIDES = {"s": 384, "m": 480, "l": 480}


def _efficientnets():
    """Blocks and channels of each stage, epsilon, and native size, by name."""
    found = {}
    for name, scale in SCALES.items():
        kind = scaled(*scale)
        found["efficientnet_" + name] = (kind.blocks, kind.channels,
                                         1e-5 if name < "b5" else 1e-3, kind.side)
    for name, (blocks, channels, _) in SECOND.items():
        found["efficientnet_v2_" + name] = (blocks, channels, 1e-3, _SECOND_SIDES[name])
    return found


EFFICIENTNETS = _efficientnets()

#: Strides of the blocks, and how many of them begin with ReLU in place of hard-swish.
MOBILENETS = {"mobilenet_v3_large": ((1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1), 6),
              "mobilenet_v3_small": ((2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1), 3)}


def build_efficientnet(net, config):
    """Describe an EfficientNet; see `families`."""
    depths, channels = [], []
    while net.has("features.{}.0.block.0.0.weight".format(len(depths) + 1)):
        number = len(depths) + 1
        depths.append(net.count("features.%d.{}.block.0.0.weight" % number))
        block = "features.{}.0.block.{{}}.0.weight".format(number)
        last = max(index for index in range(4) if net.has(block.format(index)))
        channels.append(net.shape(block.format(last), 4)[0])
    found = (tuple(depths), tuple(channels))
    shapes = dict((name, value[:2]) for name, value in EFFICIENTNETS.items())
    name = config.choose(net, "torchvision's EfficientNet", shapes, found)
    if name is None:
        net.fail("has the names of an EfficientNet of torchvision, but its stages of {} blocks with "
                 "{} channels are not those of one that is read ({})".format(
                     depths, channels, ", ".join(sorted(shapes))))
    _, _, net.epsilon, side = EFFICIENTNETS[name]
    x = net.conv_norm_act("input", "features.0.0", "features.0.1", "silu", "features.0", stride=2)
    for stage, count in enumerate(depths):
        module = "features.{}".format(stage + 1)
        for index in range(count):
            block = "{}.{}".format(module, index)
            x = _block(net, x, block, 1 if index else SECOND_STRIDES[stage],
                       ("silu", "silu", "sigmoid"), module if index == count - 1 else block)
    last = "features.{}".format(len(depths) + 1)
    x = net.conv_norm_act(x, last + ".0", last + ".1", "silu", last)
    net.head(net.add("avgpool", "global_average_pool", [x]), "classifier.1")
    # The largest of the second generation was published with another one.
    return Description(name, (side, side), None if name == "efficientnet_v2_l" else "torch")


def build_mobilenet(net, config):
    """Describe a MobileNet V3; see `families`."""
    count = net.count("features.{}.block.0.0.weight", 1)
    shapes = dict((name, len(value[0])) for name, value in MOBILENETS.items())
    name = config.choose(net, "torchvision's MobileNet V3", shapes, count)
    if name is None:
        net.fail("has the names of a MobileNet V3 of torchvision, but {} blocks; {} are read".format(
            count, " and ".join("{} with {}".format(each, shapes[each])
                                for each in sorted(shapes))))
    strides, plain = MOBILENETS[name]
    net.epsilon = 1e-3
    x = net.conv_norm_act("input", "features.0.0", "features.0.1", "hard_swish", "features.0",
                          stride=2)
    for index, stride in enumerate(strides):
        act = "relu" if index < plain else "hard_swish"
        block = "features.{}".format(index + 1)
        x = _block(net, x, block, stride, (act, "relu", "hard_sigmoid"), block)
    last = "features.{}".format(count + 1)
    x = net.conv_norm_act(x, last + ".0", last + ".1", "hard_swish", last)
    x = net.add("avgpool", "global_average_pool", [x])
    if net.has("classifier.0.weight"):
        x = net.act(net.head(x, "classifier.0"), "hard_swish", "classifier.1")
        net.head(x, "classifier.3")
    return Description(name, (224, 224), "torch")


def _block(net, source, name, stride, functions, node):
    """An inverted residual; `functions`: activation, and the two of squeeze and excite."""
    form = name + ".block.{}"
    parts = [form.format(index) for index in range(4)
             if net.has(form.format(index) + ".0.weight", form.format(index) + ".1.weight")]
    depth = len(parts) + net.count(form + ".fc1.weight", len(parts) - 1)
    width = net.shape(parts[-1] + ".0.weight", 4)[0]
    has_sum = stride == 1 and width == net.channels[source]
    x = source
    for index in range(depth):
        module = form.format(index)
        if net.has(module + ".fc1.weight"):
            x = net.squeeze_excite(x, module, ("fc1", "fc2"), *functions[1:])
            continue
        is_last = module == parts[-1]
        function = None if is_last and len(parts) > 1 else functions[0]
        height = net.shape(module + ".0.weight", 4)[2]
        end = module if has_sum or not is_last else node
        x = net.conv_norm_act(x, module + ".0", module + ".1", function, end, grouped=True,
                              stride=stride if height > 1 else 1)
    return net.sum(x, source, node) if has_sum else x
