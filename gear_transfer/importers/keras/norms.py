"""Normalisations, dense layers and attention: what is done to channels, pixel by pixel or all at once."""
import numpy as np

from .arithmetic import constant_array, per_channel, scaled, shifted
from .functions import with_activation


def batch_normalization(layer):
    value = layer.plain()
    layer.check_last_axis(value, layer.config.get("axis", -1))
    if layer.kwargs.get("training") is True:
        layer.fail("is called with training=True and would normalise by the images at hand")
    if layer.config.get("mode", 0) != 0:
        layer.fail("mode {!r} of Keras 1 is not supported".format(layer.config["mode"]))
    channels = layer.channels(value)
    attributes = {"epsilon": layer.positive("epsilon", 1e-3)}
    roles = [("gamma", ("gamma",))] if layer.flag("scale", True) else []
    roles += [("beta", ("beta",))] if layer.flag("center", True) else []
    roles += [("mean", ("moving_mean", "running_mean")),
              ("variance", ("moving_variance", "running_std"))]
    for role, names in roles:
        attributes[role] = layer.want(role, names, (channels,))
    return layer.add("batch_norm", [value], attributes, value.shape)


def _scale_and_center(layer, attributes, channels):
    for role, setting in (("gamma", "scale"), ("beta", "center")):
        if layer.flag(setting, True):
            attributes[role] = layer.want(role, role, (channels,))
    return attributes


def layer_normalization(layer):
    value = layer.plain()
    layer.check_last_axis(value, layer.config.get("axis", -1))
    if layer.config.get("rms_scaling"):
        layer.fail("rms_scaling is not supported")
    attributes = _scale_and_center(layer, {"epsilon": layer.positive("epsilon", 1e-3)},
                                   layer.channels(value))
    return layer.add("layer_norm", [value], attributes, value.shape)


def group_normalization(layer):
    value = layer.plain()
    layer.check_last_axis(value, layer.config.get("axis", -1))
    channels = layer.channels(value)
    groups = layer.config.get("groups", 32)
    groups = channels if groups == -1 else layer.count("groups", 32)
    if channels % groups:
        layer.fail("{} groups do not divide {} channels".format(groups, channels))
    attributes = _scale_and_center(
        layer, {"groups": groups, "epsilon": layer.positive("epsilon", 1e-3)}, channels)
    return layer.add("group_norm", [value], attributes, value.shape)


def normalization(layer):
    """Keras's preprocessing layer, with statistics out of its settings or its weights."""
    value = layer.plain()
    if layer.config.get("invert"):
        layer.fail("invert is not supported")
    channels = layer.channels(value)
    given = [layer.config.get("mean"), layer.config.get("variance")]
    if None not in given:
        mean, variance = [per_channel(layer, value, constant_array(layer, numbers))
                          for numbers in given]
        if mean is None or variance is None or variance.min() < 0.0:
            layer.fail("mean and variance are {!r}, its input has {} channels".format(
                given, channels))
        return scaled(layer, shifted(layer, value, -mean, part="centered"),
                      inverse_deviation(variance))
    layer.check_last_axis(value, layer.config.get("axis", -1))
    names = [layer.want(role, role, (channels,), convert=convert)
             for role, convert in (("mean", np.negative), ("variance", inverse_deviation))]
    centered = layer.add("bias", [value], {"bias": names[0]}, value.shape, part="centered")
    return layer.add("scale", [centered], {"gamma": names[1]}, value.shape)


def inverse_deviation(variance):
    """``1 / max(sqrt(variance), 1e-7)``, as Keras divides."""
    return 1.0 / np.maximum(np.sqrt(variance), np.float32(1e-7))


def layer_scale(layer):
    """ConvNeXt's own layer: one factor for each channel."""
    value = layer.plain()
    channels = layer.channels(value)
    name = layer.want("gamma", ("gamma", "variable", "Variable", "layer_scale"), (channels,))
    return layer.add("scale", [value], {"gamma": name}, value.shape)


def dense(layer):
    """On maps and tokens a convolution of one pixel, on flat values a product."""
    value = layer.plain()
    units, into = layer.count("units"), layer.channels(value)
    flat = len(value.shape) == 1
    kernel = layer.want("kernel", "kernel", (into, units),
                        (into, units) if flat else (1, 1, into, units))
    attributes = {"kernel": kernel}
    if layer.flag("use_bias", True):
        attributes["bias"] = layer.want("bias", "bias", (units,))
    if not flat:
        attributes.update(pixelwise())
    return with_activation(layer, lambda part: layer.add(
        "dense" if flat else "conv2d", [value], attributes, value.shape[:-1] + (units,),
        part=part))


def pixelwise():
    """Settings of a convolution of one pixel."""
    return {"strides": [1, 1], "dilations": [1, 1], "groups": 1, "padding": "valid"}


def multi_head_attention(layer):
    """Attention of tokens to themselves or to others, without a mask."""
    query, key, value = _attended(layer)
    heads, size = layer.count("num_heads"), layer.count("key_dim")
    if layer.config.get("value_dim") not in (None, size):
        layer.fail("value_dim {!r} other than key_dim is not supported".format(
            layer.config["value_dim"]))
    for mask in ("attention_mask", "query_mask", "key_mask", "value_mask", "use_causal_mask"):
        if layer.kwargs.get(mask) not in (None, False):
            layer.fail("{} is not supported".format(mask))
    if layer.config.get("output_shape") is not None:
        layer.fail("output_shape is not supported")
    parts = [_projected(layer, tokens, name, heads, size)
             for tokens, name in ((query, "query"), (key, "key"), (value, "value"))]
    joined = layer.add("attention", parts, {"heads": heads, "scale": size ** -0.5},
                       query.shape[:-1] + (heads * size,), part="attention")
    into, out = heads * size, layer.channels(query)
    attributes = dict(pixelwise(), kernel=layer.want(
        "output/kernel", "attention_output/kernel", (heads, size, out),
        (1, 1, into, out), sub="output"))
    if layer.flag("use_bias", True):
        attributes["bias"] = layer.want("output/bias", "attention_output/bias", (out,),
                                        sub="output")
    return layer.add("conv2d", [joined], attributes, query.shape)


def _attended(layer):
    """Query, key and value, each tokens."""
    given = list(layer.args)
    for name in ("query", "value", "key"):
        if layer.kwargs.get(name) is not None:
            given.append(layer.kwargs[name])
    given = [layer.builder.plain(item) for item in given if hasattr(item, "node")]
    if len(given) not in (2, 3):
        layer.fail("has {} inputs, expected query, value and key".format(len(given)))
    query, value = given[:2]
    key = given[2] if len(given) == 3 else value
    for tokens in (query, value, key):
        if len(tokens.shape) != 2:
            layer.fail("needs tokens, its inputs have shapes {}".format([v.shape for v in given]))
    return query, key, value


def _projected(layer, tokens, name, heads, size):
    into = layer.channels(tokens)
    attributes = dict(pixelwise(), kernel=layer.want(
        name + "/kernel", name + "/kernel", (into, heads, size),
        (1, 1, into, heads * size), sub=name))
    if layer.flag("use_bias", True):
        attributes["bias"] = layer.want(name + "/bias", name + "/bias", (heads, size),
                                        (heads * size,), sub=name)
    return layer.add("conv2d", [tokens], attributes, tokens.shape[:-1] + (heads * size,),
                     part=name)
