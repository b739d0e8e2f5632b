"""Vision transformers (ViT, DeiT, DINOv2) as timm names them, and ViT as torchvision does.

A. Dosovitskiy and others, "An Image is Worth 16x16 Words", ICLR 2021; M. Oquab and others, "DINOv2",
2023. Patches become tokens after their positions were added, so that these are resampled to other
sizes of images; the class token, whose position is added here, stands before them, and so do
registers.
"""
import re

import numpy as np

from .description import Description

TIMM_SIGNATURE = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
TORCHVISION_SIGNATURE = ("class_token", "conv_proj.weight", "encoder.pos_embedding",
                         "encoder.layers.encoder_layer_0.self_attention.in_proj_weight")

EPSILON = 1e-6

#: Heads of attention by channels; the tensors do not say them.
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
_SIZES = {"tiny": 192, "small": 384, "base": 768, "large": 1024, "huge": 1280}

#: Names in timm of those that are read.
ARCHITECTURE = re.compile(
    r"^(vit|deit|deit3)_(tiny|small|base|large|huge)(_distilled)?_patch([0-9]{1,2})_"
    r"(reg[0-9]_)?(dinov2|[0-9]{2,3})$")

#: Names of the parts of a block: norms, query-key-value as weight and bias, projection, and the two
#: layers behind.
_TIMM_PARTS = ("norm1", "norm2", "attn.qkv.weight", "attn.qkv.bias", "attn.proj", "mlp.fc1",
               "mlp.fc2", "attn", "mlp")
_TORCHVISION_PARTS = ("ln_1", "ln_2", "self_attention.in_proj_weight", "self_attention.in_proj_bias",
                      "self_attention.out_proj", "mlp.0", "mlp.3", "self_attention", "mlp")


def build_timm(net, config):
    """Describe a network with timm's names; see `families`."""
    prefix = [name for name in ("cls_token", "dist_token", "reg_token") if net.has(name)]
    side, grid = _embed(net, "patch_embed.proj", "pos_embed", prefix)
    channels = net.channels["tokens"]
    x = _blocks(net, "tokens", "blocks.{}", _TIMM_PARTS, channels)
    _check(net, config, channels, side)
    if net.has("fc_norm.weight"):
        first = sum(net.shape(name, 3)[1] for name in prefix)
        x = net.add("patches", "slice", [x], {"axis": "height", "start": first})
        x = net.add("global_pool", "global_average_pool", [x])
        net.head(net.layer_norm(x, "fc_norm", EPSILON), "head")
    else:
        x = net.layer_norm(x, "norm", EPSILON)
        net.head(_token(net, x, 0, "class_token"), "head")
        if net.has("head_dist.weight"):
            net.head(_token(net, x, 1, "distillation_token"), "head_dist")
    size = (grid[0] * side, grid[1] * side)
    return Description(config.architecture or "vision_transformer", size, None)


def build_torchvision(net, config):
    """Describe a network with torchvision's names; see `families`."""
    side, grid = _embed(net, "conv_proj", "encoder.pos_embedding", ["class_token"])
    x = _blocks(net, "tokens", "encoder.layers.encoder_layer_{}", _TORCHVISION_PARTS,
                net.channels["tokens"])
    x = net.layer_norm(x, "encoder.ln", EPSILON)
    net.head(_token(net, x, 0, "token"), "heads.head")
    config.choose(net, "torchvision's ViT", {}, None)
    return Description("vision_transformer", (grid[0] * side, grid[1] * side), "torch")


def _check(net, config, channels, side):
    """Refuse a config.json of another network."""
    name = config.architecture
    if name is None:
        return
    match = ARCHITECTURE.match(name)
    if match is None:
        net.fail("{} says the architecture '{}', which is not a ViT, DeiT or DINOv2 that is read, "
                 "such as vit_small_patch16_224, deit_tiny_patch16_224 or "
                 "vit_base_patch14_reg4_dinov2".format(config.path, name))
    if _SIZES.get(match.group(2)) != channels or int(match.group(4)) != side:
        net.fail("{} says the architecture '{}', but the tensors have {} channels and patches of {} "
                 "pixels; is it the config.json of other weights?".format(
                     config.path, name, channels, side))


def _token(net, x, place, name):
    return net.add(name, "slice", [x], {"axis": "height", "start": place, "stop": place + 1})


def _embed(net, conv, positions, prefix):
    """Patches with their positions, as tokens behind the prefix; side of a patch, and the grid."""
    shape = net.shape(conv + ".weight", 4)
    if shape[2] != shape[3]:
        net.fail("tensor '{}.weight' has shape {}, expected square patches".format(
            conv, list(shape)))
    channels, side = shape[0], shape[2]
    if channels not in HEADS:
        net.fail("tensor '{}.weight' has {} channels; the heads of attention are known for {}".format(
            conv, channels, ", ".join(str(number) for number in sorted(HEADS))))
    x = net.conv("input", conv, stride=side, padding=[0] * 4)
    number, have = net.shape(positions, 3)[1], [net.shape(name, 3)[1] for name in prefix]
    placed, grid = _grid(number, sum(have))
    if not grid:
        net.fail("tensor '{}' has {} positions, which are not a square grid with or without {} "
                 "token(s) before it".format(positions, number, sum(have)))
    table = (positions, (1, number, channels))
    x = net.add("positions", "position_embedding", [x], {"value": net.want(
        "positions/value", [table],
        lambda values: values[0, placed:].reshape(grid, grid, channels))})
    x = net.add("patches/tokens", "reshape", [x], {"shape": [-1, 1, channels]})
    tensors = [(name, (1, count, channels)) for name, count in zip(prefix, have)]

    def first(values, *tokens):
        joined = np.concatenate([token[0] for token in tokens])
        return (joined + values[0, :placed] if placed else joined)[:, np.newaxis]

    before = net.want("prefix/value", [table] + tensors, first)
    net.add("prefix", "constant", (), {"value": before}, channels)
    net.add("tokens", "concat", ["prefix", x], {"axis": "height"})
    return side, (grid, grid)


def _grid(number, before):
    """How many positions are those of tokens before the patches, all or none, and the grid's side."""
    for placed in (before, 0):
        side = int(round(max(number - placed, 0) ** 0.5))
        if side and side * side == number - placed:
            return placed, side
    return 0, 0


def _blocks(net, x, form, parts, channels):
    """The blocks one after the other."""
    heads = HEADS[channels]
    settings = {"heads": heads, "scale": (channels // heads) ** -0.5}
    for index in range(net.count(form + "." + parts[2])):
        name = form.format(index)
        norm1, norm2, weight, bias, projection, first, second, attention, layers = [
            "{}.{}".format(name, part) for part in parts]
        y = net.linear(net.layer_norm(x, norm1, EPSILON), weight, bias, attention + "/qkv")
        if net.channels[y] != 3 * channels:
            net.fail("tensor '{}' makes {} channels, expected {}".format(
                weight, net.channels[y], 3 * channels))
        y = net.add(attention + "/heads", "attention", [y], dict(settings), channels)
        y = net.linear(y, projection + ".weight", projection + ".bias", attention)
        x = net.sum(_layer_scale(net, y, name + ".ls1"), x, name + "/add")
        y = net.linear(net.layer_norm(x, norm2, EPSILON), first + ".weight", first + ".bias", first)
        y = net.act(y, "gelu", layers + "/act")
        y = net.linear(y, second + ".weight", second + ".bias", layers)
        x = net.sum(_layer_scale(net, y, name + ".ls2"), x, name)
    return x


def _layer_scale(net, x, name):
    return net.scale(x, name + ".gamma", name) if net.has(name + ".gamma") else x
