"""Networks of inverted residuals as timm names them: EfficientNet, MobileNet V2, V3 and V4.

M. Tan and Q. Le, "EfficientNet", ICML 2019; A. Howard and others, "Searching for MobileNetV3", ICCV
2019; D. Qin and others, "MobileNetV4", ECCV 2024. The kind of each block is told by its tensors;
strides and activations stand here. The networks that came from TensorFlow ("tf_") have the same
tensors as those trained with PyTorch, but pad as TensorFlow does and normalise with another
epsilon, so that their names must be known.
"""
import collections
import math

from .description import Description

SIGNATURE = ("conv_stem.weight", "bn1.weight")

#: `blocks` and `channels`: of each stage; `squeezes`: whether any block has them; `strides`: of the first block of each; `plain`: how many
#: stages begin with ReLU in place of `act`; `gate` and `squeeze_act`: of squeeze and excite; `side`:
#: native size; `late`: whether the last convolution comes after the average.
_Kind = collections.namedtuple("_Kind", [
    "blocks", "channels", "squeezes", "strides", "plain", "act", "gate", "squeeze_act", "side", "late"])


def round_channels(channels):
    """The next multiple of 8 that is not a tenth smaller."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def scaled(width, depth, side, act="silu", keeps_ends=False):
    """An EfficientNet of the first generation."""
    repeats = [1, 2, 2, 3, 3, 4, 1]
    blocks = tuple(count if keeps_ends and place in (0, 6) else int(math.ceil(count * depth))
                   for place, count in enumerate(repeats))
    channels = tuple(round_channels(count * width) for count in (16, 24, 40, 80, 112, 192, 320))
    return _Kind(blocks, channels, not keeps_ends, (1, 2, 2, 2, 1, 2, 1), 0, act, "sigmoid", act, side, False)


#: Factors of width and depth, and native size; timm's own training took other sizes for some.
SCALES = collections.OrderedDict([
    ("b0", (1.0, 1.0, 224)), ("b1", (1.0, 1.1, 240)), ("b2", (1.1, 1.2, 260)),
    ("b3", (1.2, 1.4, 300)), ("b4", (1.4, 1.8, 380)), ("b5", (1.6, 2.2, 456)),
    ("b6", (1.8, 2.6, 528)), ("b7", (2.0, 3.1, 600))])
_LITE = (("lite0", (1.0, 1.0, 224)), ("lite1", (1.0, 1.1, 240)), ("lite2", (1.1, 1.2, 260)),
         ("lite3", (1.2, 1.4, 300)), ("lite4", (1.4, 1.8, 380)))

#: The second generation: blocks and channels of each stage, and native size.
SECOND = {
    "s": ((2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256), 300),
    "m": ((3, 5, 5, 7, 14, 18, 5), (24, 48, 80, 160, 176, 304, 512), 384),
    "l": ((4, 7, 7, 10, 19, 25, 7), (32, 64, 96, 192, 224, 384, 640), 384)}
SECOND_STRIDES = (1, 2, 2, 2, 1, 2, 1)


def _second(size):
    blocks, channels, side = SECOND[size]
    return _Kind(blocks, channels, True, SECOND_STRIDES[:len(blocks)], 0, "silu", "sigmoid", "silu",
                 side, False)


def _third(blocks, channels, strides, plain):
    return _Kind(blocks, channels, True, strides, plain, "hard_swish", "hard_sigmoid", "relu", 224, True)


def _fourth(blocks, channels):
    return _Kind(blocks, channels, False, (2, 2, 2, 2, 1), 0, "relu", "sigmoid", "relu", 224, True)


_EITHER = {"mobilenetv3_large_100": _third((1, 2, 3, 4, 2, 3, 1), (16, 24, 40, 80, 112, 160, 960),
                                           (1, 2, 2, 2, 1, 2, 1), 3),
           "mobilenetv3_small_100": _third((1, 2, 3, 2, 3, 1), (16, 24, 40, 48, 96, 576),
                                           (2, 2, 2, 1, 2, 1), 2)}
_EITHER.update(("efficientnet_" + name, scaled(*scale)) for name, scale in SCALES.items())
_EITHER.update(("efficientnet_" + name, scaled(*(scale + ("relu6", True))))
               for name, scale in _LITE)
_EITHER.update(("efficientnetv2_" + name, _second(name)) for name in SECOND)

VARIANTS = dict(_EITHER)
VARIANTS.update(("tf_" + name, kind) for name, kind in _EITHER.items())
VARIANTS.update({
    "mobilenetv2_100": _Kind((1, 2, 3, 4, 3, 3, 1), (16, 24, 32, 64, 96, 160, 320), False,
                             (1, 2, 2, 2, 1, 2, 1), 0, "relu6", "sigmoid", "relu6", 224, False),
    "mobilenetv4_conv_small": _fourth((2, 2, 6, 6, 1), (32, 64, 96, 128, 960)),
    "mobilenetv4_conv_medium": _fourth((1, 2, 8, 11, 1), (48, 80, 160, 256, 960)),
    "mobilenetv4_conv_large": _fourth((1, 2, 11, 13, 1), (48, 96, 192, 512, 960))})


def build(net, config):
    """Describe the network; see `families`."""
    name = _variant(net, config)
    kind = VARIANTS[name]
    if name.startswith("tf_"):
        net.padding, net.epsilon = "same", 1e-3
    act = kind.act
    x = net.conv_norm_act("input", "conv_stem", "bn1", act, "bn1", stride=2)
    for stage, count in enumerate(kind.blocks):
        function = "relu" if stage < kind.plain else act
        for index in range(count):
            block = "blocks.{}.{}".format(stage, index)
            node = "blocks.{}".format(stage) if index == count - 1 else block
            x = _block(net, x, block, 1 if index else kind.strides[stage], function, kind, node)
    if kind.late:
        x = net.conv(net.add("global_pool", "global_average_pool", [x]), "conv_head")
        if net.has("norm_head.weight"):
            x = net.norm(x, "norm_head", "norm_head/norm")
        x = net.act(x, act, "norm_head" if net.has("norm_head.weight") else "act2")
    else:
        x = net.conv_norm_act(x, "conv_head", "bn2", act, "bn2")
        x = net.add("global_pool", "global_average_pool", [x])
    net.head(x, "classifier")
    return Description(name, (kind.side, kind.side), None)


def _variant(net, config):
    """The name of the variant, which for some must come from the config.json."""
    depths = _depths(net)
    channels = []
    for stage, count in enumerate(depths):
        last = "blocks.{}.{}.".format(stage, count - 1)
        tensors = [last + part + ".weight" for part in (
            "pw_proj.conv", "conv_pwl", "conv_pw", "conv") if net.has(last + part + ".weight")]
        channels.append(net.shape(tensors[0], 4)[0] if tensors else 0)
    squeezes = any(name.endswith(".se.conv_reduce.weight") for name in net.source.shapes)
    found = (tuple(depths), tuple(channels), squeezes)
    shapes = dict((name, (kind.blocks, kind.channels, kind.squeezes)) for name, kind in VARIANTS.items())
    name = config.choose(net, "EfficientNet and MobileNet", shapes, found)
    fitting = sorted(each for each in shapes if shapes[each] == found)
    if not fitting:
        net.fail("has the stem of an EfficientNet or MobileNet of timm, but its stages of {} blocks "
                 "with {} channels, {} squeezes, are not those of one that is read ({})".format(
                     depths, channels, "with" if squeezes else "without", ", ".join(sorted(VARIANTS))))
    if config.architecture is None and len(fitting) > 1:
        net.fail("its tensors fit {}, which compute with them in different ways; put timm's "
                 "config.json beside the file, which says the architecture".format(
                     " and ".join(fitting)))
    return name


def _depths(net):
    """How many blocks each stage has."""
    depths = []
    while True:
        stage = "blocks.{}.".format(len(depths))
        count = max(net.count(stage + "{}.bn1.weight"), net.count(stage + "{}.pw_exp.conv.weight"))
        if not count:
            return depths
        depths.append(count)


def _block(net, source, name, stride, act, kind, node):
    """A block of the kind that its tensors tell."""
    if net.has(name + ".pw_exp.conv.weight"):
        x = _universal(net, source, name, stride, act)
    elif net.has(name + ".conv.weight"):
        # Of these, only the second EfficientNet adds what came in.
        has_sum = kind.act == "silu" and stride == 1 and (
            net.shape(name + ".conv.weight", 4)[0] == net.channels[source])
        x = net.conv_norm_act(source, name + ".conv", name + ".bn1", act,
                              name + ".bn1" if has_sum else node, stride=stride)
        return net.sum(x, source, node) if has_sum else x
    else:
        x = _inverted(net, source, name, stride, act, kind)
    if net.has(name + ".layer_scale.gamma"):
        x = net.scale(x, name + ".layer_scale.gamma", name + ".layer_scale")
    if stride == 1 and net.channels[x] == net.channels[source]:
        return net.sum(x, source, node)
    last = net.nodes[-1]
    net.channels[node] = net.channels.pop(last.name)
    last.name = node
    return node


def _inverted(net, source, name, stride, act, kind):
    """Widened, depthwise, squeezed, narrowed; some of them without the first or fused."""
    x, number = source, 1
    for part in ("conv_exp", "conv_pw", "conv_dw"):
        conv = "{}.{}".format(name, part)
        is_last = part == "conv_pw" and not net.has(name + ".conv_pwl.weight")
        if net.has(conv + ".weight") and not is_last:
            norm = "{}.bn{}".format(name, number)
            strided = stride if part != "conv_pw" else 1
            x = net.conv_norm_act(x, conv, norm, act, norm, stride=strided,
                                  grouped=part == "conv_dw")
            number += 1
    if net.has(name + ".se.conv_reduce.weight"):
        x = net.squeeze_excite(x, name + ".se", ("conv_reduce", "conv_expand"), kind.squeeze_act,
                               kind.gate)
    last = ".conv_pwl" if net.has(name + ".conv_pwl.weight") else ".conv_pw"
    return net.norm(net.conv(x, name + last), "{}.bn{}".format(name, number))


def _universal(net, source, name, stride, act):
    """MobileNet V4's universal inverted bottleneck."""
    has_mid = net.has(name + ".dw_mid.conv.weight")
    x = source
    for part, function, strided in (("dw_start", None, not has_mid), ("pw_exp", act, False),
                                    ("dw_mid", act, True), ("pw_proj", None, False)):
        module = "{}.{}".format(name, part)
        if net.has(module + ".conv.weight"):
            x = net.conv_norm_act(x, module + ".conv", module + ".bn", function, module,
                                  stride=stride if strided else 1, grouped=part.startswith("dw"))
    return x
