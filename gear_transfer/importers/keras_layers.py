"""Keras layer classes, each translated into nodes.

A translator takes a `keras_config.Layer` and the values it reads and returns
the value it makes. Shapes leave the batch out: (height, width, channels) or
(features,); None stands for a size that the model leaves open.
"""
from collections import namedtuple

Padding = namedtuple("Padding", "top left bottom right")


def _one(layer, inputs):
    if len(inputs) != 1:
        layer.fail("has {} inputs, expected one".format(len(inputs)))
    return inputs[0]


def _plain(layer, inputs):
    """The only input, which must not have zeros to be put around it."""
    value = _one(layer, inputs)
    _refuse_padding(layer, value)
    return value


def _refuse_padding(layer, value):
    if value.padding is not None:
        layer.fail("follows a ZeroPadding2D layer; padding can only be folded into a convolution "
                   "or a pool")


def _map(layer, value):
    """Check that a value is a map (height, width, channels)."""
    if len(value.shape) != 3:
        layer.fail("needs a map (height, width, channels), its input has shape {}".format(
            value.shape))
    if layer.config.get("data_format") not in (None, "channels_last"):
        layer.fail("data_format is {!r}, only channels_last is supported".format(
            layer.config["data_format"]))
    return value


def _same_total(size, kernel, stride):
    """What `same` padding adds along one side, as TensorFlow does it."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def _window(layer, value, kernel, strides, dilations=(1, 1)):
    """Padding attribute and output (height, width) of a convolution or pool."""
    kind = layer.config.get("padding", "valid")
    if kind not in ("same", "valid"):
        layer.fail("padding is {!r}, only 'same' and 'valid' are supported".format(kind))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    padding = kind
    if value.padding is not None:
        zeros = value.padding
        if kind == "same":
            if strides != [1, 1]:
                layer.fail("ZeroPadding2D before a strided layer with padding 'same' cannot be "
                           "folded")
            before = [(e - 1) // 2 for e in extent]
            after = [e - 1 - b for e, b in zip(extent, before)]
            zeros = Padding(zeros.top + before[0], zeros.left + before[1],
                            zeros.bottom + after[0], zeros.right + after[1])
        padding = list(zeros)
    sides = []
    for axis in range(2):
        size = value.shape[axis]
        if size is None:
            sides.append(None)
            continue
        if padding == "same":
            size += _same_total(size, extent[axis], strides[axis])
        elif padding != "valid":
            size += padding[axis] + padding[axis + 2]
        if size < extent[axis]:
            layer.fail("its window is {} wide, its input only {}".format(extent[axis], size))
        sides.append((size - extent[axis]) // strides[axis] + 1)
    return padding, tuple(sides)


def _activation_name(layer, setting):
    """Name of an activation function given as text or as a Keras 3 dictionary."""
    name = layer.config.get(setting)
    if isinstance(name, dict):
        inner = name.get("config")
        name = inner if isinstance(inner, str) else name.get("class_name")
    if name is None:
        return "linear"
    if name not in ("linear", "relu", "relu6", "softmax"):
        layer.fail("activation {!r} is not supported".format(name))
    return name


def _activate(layer, value, function, node):
    """Append the node of an activation function, named `node`."""
    add = layer.builder.add
    if function == "softmax":
        return add(node, "softmax", [value], {}, value.shape, not_negative=True)
    attributes = {"max_value": 6.0} if function == "relu6" else {}
    return add(node, "relu", [value], attributes, value.shape, not_negative=True)


def _with_activation(layer, add_linear):
    """A layer with an activation inside: the tapped name is that of the last node."""
    function = _activation_name(layer, "activation")
    if function == "linear":
        return add_linear(layer.node)
    return _activate(layer, add_linear(layer.node + "/linear"), function, layer.node)


def input_layer(layer, inputs):
    """InputLayer, or the input implied by the first layer of a Sequential model."""
    shape = layer.config.get("batch_input_shape", layer.config.get("batch_shape"))
    if (not isinstance(shape, list) or len(shape) != 4 or type(shape[3]) is not int
            or not all(side is None or type(side) is int and 1 <= side <= 1 << 24
                       for side in shape[1:])):
        layer.fail("input shape is {!r}, expected (batch, height, width, channels)".format(shape))
    if layer.builder.nodes:
        layer.fail("is a second input, only one is supported")
    if None not in shape[1:3]:
        layer.builder.input_size = (shape[1], shape[2])
    return layer.builder.add(layer.node, "input", [], {"channels": shape[3]}, tuple(shape[1:]))


def _bias(layer, attributes, size):
    if layer.flag("use_bias", True):
        attributes["bias"] = layer.builder.want(layer.name, "bias", "bias", (size,))


def _conv2d(layer, inputs):
    value = _map(layer, _one(layer, inputs))
    filters, groups = layer.count("filters"), layer.count("groups", 1)
    kernel, strides = layer.pair("kernel_size"), layer.pair("strides", [1, 1])
    dilations = layer.pair("dilation_rate", [1, 1])
    channels = value.shape[2]
    if channels % groups or filters % groups:
        layer.fail("{} groups do not divide {} channels and {} filters".format(
            groups, channels, filters))
    padding, sides = _window(layer, value, kernel, strides, dilations)
    shape = tuple(kernel) + (channels // groups, filters)
    attributes = {"kernel": layer.builder.want(layer.name, "kernel", "kernel", shape),
                  "strides": strides, "dilations": dilations, "groups": groups,
                  "padding": padding}
    _bias(layer, attributes, filters)
    return _with_activation(layer, lambda node: layer.builder.add(
        node, "conv2d", [value], attributes, sides + (filters,)))


def _depthwise_attributes(layer, value, role):
    """Attributes and output shape of the depthwise part of a layer."""
    multiplier = layer.count("depth_multiplier", 1)
    kernel, strides = layer.pair("kernel_size"), layer.pair("strides", [1, 1])
    dilations = layer.pair("dilation_rate", [1, 1])
    channels = value.shape[2]
    padding, sides = _window(layer, value, kernel, strides, dilations)
    stored = tuple(kernel) + (channels, multiplier)
    # (h, w, c, m) flattened over c and m is HWIO for groups = c in TensorFlow's channel order.
    shape = tuple(kernel) + (1, channels * multiplier)
    array = layer.builder.want(layer.name, role, "depthwise_kernel", stored, shape)
    return ({"kernel": array, "strides": strides, "dilations": dilations, "groups": channels,
             "padding": padding}, sides + (channels * multiplier,))


def _depthwise_conv2d(layer, inputs):
    value = _map(layer, _one(layer, inputs))
    attributes, shape = _depthwise_attributes(layer, value, "kernel")
    _bias(layer, attributes, shape[2])
    return _with_activation(layer, lambda node: layer.builder.add(
        node, "conv2d", [value], attributes, shape))


def _separable_conv2d(layer, inputs):
    value = _map(layer, _one(layer, inputs))
    filters = layer.count("filters")
    attributes, shape = _depthwise_attributes(layer, value, "depthwise_kernel")
    depthwise = layer.builder.add(layer.node + "/depthwise", "conv2d", [value], attributes, shape)
    pointwise = {"kernel": layer.builder.want(layer.name, "kernel", "pointwise_kernel",
                                              (1, 1, shape[2], filters)),
                 "strides": [1, 1], "dilations": [1, 1], "groups": 1, "padding": "valid"}
    _bias(layer, pointwise, filters)
    return _with_activation(layer, lambda node: layer.builder.add(
        node, "conv2d", [depthwise], pointwise, shape[:2] + (filters,)))


def _batch_normalization(layer, inputs):
    value = _plain(layer, inputs)
    _check_axis(layer, value, layer.config.get("axis", -1))
    channels = value.shape[-1]
    if channels is None:
        layer.fail("the number of its features is not known")
    attributes = {"epsilon": layer.number("epsilon", 1e-3)}
    if attributes["epsilon"] is None or attributes["epsilon"] <= 0.0:
        layer.fail("epsilon must be greater than zero")
    roles = [("mean", "moving_mean"), ("variance", "moving_variance")]
    roles += [("gamma", "gamma")] if layer.flag("scale", True) else []
    roles += [("beta", "beta")] if layer.flag("center", True) else []
    for role, weight in roles:
        attributes[role] = layer.builder.want(layer.name, role, weight, (channels,))
    return layer.builder.add(layer.node, "batch_norm", [value], attributes, value.shape)


def _check_axis(layer, value, axis):
    """The axis must be the last, that of the channels."""
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    if type(axis) is not int or axis not in (-1, len(value.shape)):
        layer.fail("axis is {!r}, only the last one (channels) is supported".format(axis))


def _activation(layer, inputs):
    value = _plain(layer, inputs)
    function = _activation_name(layer, "activation")
    return value if function == "linear" else _activate(layer, value, function, layer.node)


def _relu(layer, inputs):
    value = _plain(layer, inputs)
    for setting in ("negative_slope", "threshold"):
        if layer.number(setting) not in (None, 0.0):
            layer.fail("{} other than zero is not supported".format(setting))
    largest = layer.number("max_value")
    if largest is not None and largest <= 0.0:
        layer.fail("max_value must be greater than zero")
    attributes = {} if largest is None else {"max_value": largest}
    return layer.builder.add(layer.node, "relu", [value], attributes, value.shape,
                             not_negative=True)


def _softmax(layer, inputs):
    value = _plain(layer, inputs)
    _check_axis(layer, value, layer.config.get("axis", -1))
    return _activate(layer, value, "softmax", layer.node)


def _pool(layer, inputs, op):
    value = _map(layer, _one(layer, inputs))
    size = layer.pair("pool_size", [2, 2])
    strides = layer.pair("strides", size)
    padding, sides = _window(layer, value, size, strides)
    positive = value.node in layer.builder.not_negative
    attributes = {"pool_size": size, "strides": strides, "padding": padding}
    if value.padding is not None:
        _check_padded_pool(layer, op, padding, size, positive)
    if op == "average_pool":
        attributes["count_include_padding"] = value.padding is not None
    return layer.builder.add(layer.node, op, [value], attributes, sides + value.shape[2:],
                             not_negative=positive)


def _check_padded_pool(layer, op, padding, size, positive):
    """Zeros around a pool can be folded only where its own padding means the same."""
    if layer.config.get("padding", "valid") != "valid":
        layer.fail("ZeroPadding2D before a pool with padding 'same' cannot be folded")
    if max(padding[0], padding[2]) >= size[0] or max(padding[1], padding[3]) >= size[1]:
        layer.fail("ZeroPadding2D as wide as the window of the pool cannot be folded")
    if op == "max_pool" and not positive:
        layer.fail("ZeroPadding2D before a max pool can be folded only after a ReLU, where zero "
                   "is the smallest value")


def _max_pool(layer, inputs):
    return _pool(layer, inputs, "max_pool")


def _average_pool(layer, inputs):
    return _pool(layer, inputs, "average_pool")


def _global_pool(layer, inputs, op):
    value = _map(layer, _plain(layer, inputs))
    if layer.flag("keepdims", False):
        layer.fail("keepdims is not supported")
    return layer.builder.add(layer.node, op, [value], {}, value.shape[2:])


def _global_average_pool(layer, inputs):
    return _global_pool(layer, inputs, "global_average_pool")


def _global_max_pool(layer, inputs):
    return _global_pool(layer, inputs, "global_max_pool")


def _several(layer, inputs):
    if len(inputs) < 2:
        layer.fail("has {} inputs, expected two or more".format(len(inputs)))
    for value in inputs:
        _refuse_padding(layer, value)
        if len(value.shape) != len(inputs[0].shape):
            layer.fail("its inputs have shapes {}".format([v.shape for v in inputs]))
    return all(value.node in layer.builder.not_negative for value in inputs)


def _common(layer, sizes, inputs):
    """The one size that all the known sizes agree on."""
    known = set(size for size in sizes if size is not None)
    if len(known) > 1:
        layer.fail("its inputs have shapes {}".format([value.shape for value in inputs]))
    return known.pop() if known else None


def _concatenate(layer, inputs):
    positive = _several(layer, inputs)
    _check_axis(layer, inputs[0], layer.config.get("axis", -1))
    shape = [_common(layer, sizes, inputs)
             for sizes in zip(*(value.shape[:-1] for value in inputs))]
    last = [value.shape[-1] for value in inputs]
    shape.append(None if None in last else sum(last))
    return layer.builder.add(layer.node, "concat", inputs, {}, tuple(shape), positive)


def _add(layer, inputs):
    positive = _several(layer, inputs)
    shape = [_common(layer, sizes, inputs) for sizes in zip(*(value.shape for value in inputs))]
    return layer.builder.add(layer.node, "add", inputs, {}, tuple(shape), positive)


def _nothing(layer, inputs):
    """A layer that does nothing at inference: its name stands for its input."""
    return _one(layer, inputs)


def _flatten(layer, inputs):
    value = _plain(layer, inputs)
    if len(value.shape) == 1:
        return value
    _map(layer, value)
    size = None
    if None not in value.shape:
        size = value.shape[0] * value.shape[1] * value.shape[2]
    return layer.builder.add(layer.node, "flatten", [value], {}, (size,))


def _dense(layer, inputs):
    value = _plain(layer, inputs)
    if len(value.shape) != 1:
        layer.fail("needs a flat input, its input has shape {}".format(value.shape))
    if value.shape[0] is None:
        layer.fail("the number of its features is not known, as the model leaves the size of its "
                   "input open")
    units = layer.count("units")
    attributes = {"kernel": layer.builder.want(layer.name, "kernel", "kernel",
                                               (value.shape[0], units))}
    _bias(layer, attributes, units)
    return _with_activation(layer, lambda node: layer.builder.add(
        node, "dense", [value], attributes, (units,)))


def _zero_padding(layer, inputs):
    value = _map(layer, _one(layer, inputs))
    padding = layer.config.get("padding", [1, 1])
    if type(padding) is int:
        padding = [padding, padding]
    if isinstance(padding, list) and len(padding) == 2:
        padding = [[side, side] if type(side) is int else side for side in padding]
    if (not isinstance(padding, list) or len(padding) != 2
            or not all(isinstance(side, list) and len(side) == 2 for side in padding)
            or not all(type(n) is int and 0 <= n <= 1 << 16 for side in padding for n in side)):
        layer.fail("padding is {!r}".format(layer.config.get("padding")))
    zeros = Padding(padding[0][0], padding[1][0], padding[0][1], padding[1][1])
    if value.padding is not None:
        zeros = Padding(*(a + b for a, b in zip(zeros, value.padding)))
    return value._replace(padding=zeros)


TRANSLATORS = {
    "InputLayer": input_layer,
    "Conv2D": _conv2d,
    "DepthwiseConv2D": _depthwise_conv2d,
    "SeparableConv2D": _separable_conv2d,
    "BatchNormalization": _batch_normalization,
    "Activation": _activation,
    "ReLU": _relu,
    "Softmax": _softmax,
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _average_pool,
    "GlobalAveragePooling2D": _global_average_pool,
    "GlobalMaxPooling2D": _global_max_pool,
    "Concatenate": _concatenate,
    "Add": _add,
    "Flatten": _flatten,
    "Dense": _dense,
    "ZeroPadding2D": _zero_padding,
    "Dropout": _nothing,
    "SpatialDropout2D": _nothing,
    "GaussianDropout": _nothing,
    "GaussianNoise": _nothing,
    "ActivityRegularization": _nothing,
}
