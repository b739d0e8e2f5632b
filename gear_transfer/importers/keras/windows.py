"""Layers that move a window over a map, and those that pad, cut and enlarge it."""
import re

from .builder import Padding
from .functions import with_activation

#: Layers of keras.applications whose ZeroPadding2D depends on the size of the map (Keras's
#: correct_pad): MobileNetV2 and V3, EfficientNet, NASNet. With a stride of 2 it is what "same" pads.
CORRECT_PAD = re.compile(
    r"(^|/)(Conv1_pad|block_[0-9]+_pad|stem_conv_pad|block[0-9]+[a-z]+_dwconv_pad"
    r"|expanded_conv(_[0-9]+)?[_/]depthwise[_/]pad|(separable_conv_1|reduction)_pad_.*)$")


def _same_total(size, kernel, stride):
    """What `same` padding adds along one side, as TensorFlow does it."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def _is_correct_pad(value, extent, strides):
    """Whether a value's padding is what "same" pads, by the size of the map and not by chance."""
    padding = value.padding
    if not CORRECT_PAD.search(padding.name) or list(strides) != [2, 2]:
        return False
    for axis in range(2):
        if value.shape[axis] is None:
            return False
        total = _same_total(value.shape[axis], extent[axis], 2)
        if (padding[axis], padding[axis + 2]) != (total // 2, total - total // 2):
            return False
    return True


def _can_fold(value, kind, strides):
    return value.padding is not None and (kind == "valid" or list(strides) == [1, 1])


def _window(layer, value, kernel, strides, dilations=(1, 1)):
    """What a window reads: the value, its padding attribute and the output (height, width)."""
    kind = layer.config.get("padding", "valid")
    if kind not in ("same", "valid"):
        layer.fail("padding is {!r}, only 'same' and 'valid' are supported".format(kind))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    padding = kind
    if value.padding is not None and not _can_fold(value, kind, strides):
        value = layer.builder.plain(value)
    if value.padding is not None:
        zeros = list(value.padding[:4])
        if kind == "valid" and _is_correct_pad(value, extent, strides):
            padding = "same"
        else:
            if kind == "same":
                before = [(e - 1) // 2 for e in extent]
                zeros = [zeros[i] + before[i] for i in range(2)] + [
                    zeros[i + 2] + extent[i] - 1 - before[i] for i in range(2)]
            padding = zeros
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
    return value, padding, tuple(sides)


def _bias(layer, attributes, size, sub=None):
    if layer.flag("use_bias", True):
        attributes["bias"] = layer.want("bias", "bias", (size,), sub=sub)


def conv2d(layer):
    value = layer.map(layer.one())
    filters, groups = layer.count("filters"), layer.count("groups", 1)
    kernel, strides = layer.pair("kernel_size"), layer.pair("strides", [1, 1])
    dilations = layer.pair("dilation_rate", [1, 1])
    channels = layer.channels(value)
    if channels % groups or filters % groups:
        layer.fail("{} groups do not divide {} channels and {} filters".format(
            groups, channels, filters))
    value, padding, sides = _window(layer, value, kernel, strides, dilations)
    shape = tuple(kernel) + (channels // groups, filters)
    attributes = {"kernel": layer.want("kernel", "kernel", shape), "strides": strides,
                  "dilations": dilations, "groups": groups, "padding": padding}
    _bias(layer, attributes, filters)
    return with_activation(layer, lambda part: layer.add(
        "conv2d", [value], attributes, sides + (filters,), part=part))


def _depthwise_attributes(layer, value, role):
    """What the depthwise part of a layer reads, its attributes and its output shape."""
    multiplier = layer.count("depth_multiplier", 1)
    kernel, strides = layer.pair("kernel_size"), layer.pair("strides", [1, 1])
    dilations = layer.pair("dilation_rate", [1, 1])
    channels = layer.channels(value)
    value, padding, sides = _window(layer, value, kernel, strides, dilations)
    stored = tuple(kernel) + (channels, multiplier)
    # (h, w, c, m) flattened over c and m is HWIO for groups = c in TensorFlow's channel order.
    shape = tuple(kernel) + (1, channels * multiplier)
    # Keras 3 calls the kernel of a depthwise layer plainly so.
    array = layer.want(role, ("depthwise_kernel", "kernel"), stored, shape)
    return value, {"kernel": array, "strides": strides, "dilations": dilations, "groups": channels,
                   "padding": padding}, sides + (channels * multiplier,)


def depthwise_conv2d(layer):
    value, attributes, shape = _depthwise_attributes(layer, layer.map(layer.one()), "kernel")
    _bias(layer, attributes, shape[2])
    return with_activation(layer, lambda part: layer.add(
        "conv2d", [value], attributes, shape, part=part))


def separable_conv2d(layer):
    filters = layer.count("filters")
    value, attributes, shape = _depthwise_attributes(layer, layer.map(layer.one()),
                                                     "depthwise_kernel")
    depthwise = layer.add("conv2d", [value], attributes, shape, part="depthwise")
    pointwise = {"kernel": layer.want("kernel", "pointwise_kernel", (1, 1, shape[2], filters)),
                 "strides": [1, 1], "dilations": [1, 1], "groups": 1, "padding": "valid"}
    _bias(layer, pointwise, filters)
    return with_activation(layer, lambda part: layer.add(
        "conv2d", [depthwise], pointwise, shape[:2] + (filters,), part=part))


def _pool(layer, op):
    value = layer.map(layer.one())
    size = layer.pair("pool_size", [2, 2])
    strides = layer.pair("strides", size)
    positive = value.node in layer.builder.not_negative
    if value.padding is not None and not _can_fold_into_pool(layer, op, value, size, positive):
        value = _keep_size(layer, value, size, strides)
    value, padding, sides = _window(layer, value, size, strides)
    attributes = {"pool_size": size, "strides": strides, "padding": padding}
    if op == "average_pool":
        attributes["count_include_padding"] = value.padding is not None
    return layer.add(op, [value], attributes, sides + value.shape[2:], positive)


def _can_fold_into_pool(layer, op, value, size, positive):
    """Zeros around a pool can be folded only where its own padding means the same."""
    top, left, bottom, right = value.padding[:4]
    return (layer.config.get("padding", "valid") == "valid" and (op == "average_pool" or positive)
            and max(top, bottom) < size[0] and max(left, right) < size[1])


def _keep_size(layer, value, size, strides):
    """Pad before a pool. Where the padding depends on the size of the map, so does the node, and a
    reshape to that size refuses any other one."""
    if layer.config.get("padding", "valid") == "valid" and _is_correct_pad(value, size, strides):
        value = layer.builder.of_fixed_size(value)
    return layer.builder.plain(value)


def max_pool(layer):
    return _pool(layer, "max_pool")


def average_pool(layer):
    return _pool(layer, "average_pool")


def zero_padding(layer):
    """The zeros are left for the next layer to fold."""
    value = layer.map(layer.one())
    top, left, bottom, right = layer.sides("padding", 1)
    if value.padding is not None:
        known = value.padding
        top, left, bottom, right = (top + known.top, left + known.left, bottom + known.bottom,
                                    right + known.right)
    return value._replace(padding=Padding(top, left, bottom, right, layer.node))


def cropping(layer):
    value = layer.map(layer.one())
    sides = layer.sides("cropping", 0)
    padding = value.padding
    if padding is not None:  # what is cut off the padding need not be put there
        left = [max(p - c, 0) for p, c in zip(padding[:4], sides)]
        sides = [max(c - p, 0) for p, c in zip(padding[:4], sides)]
        padding = padding._replace(top=left[0], left=left[1], bottom=left[2], right=left[3],
                                   name=layer.node + "/padding")
    if not any(sides):
        return value._replace(padding=padding)
    return cropped(layer, value, sides)._replace(padding=padding)


def cropped(layer, value, sides):
    """The value without [top, left, bottom, right] pixels."""
    shape = []
    for axis in range(2):
        size = value.shape[axis]
        if size is not None:
            size -= sides[axis] + sides[axis + 2]
            if size < 1:
                layer.fail("cuts off more than the {} pixels there are".format(value.shape[axis]))
        shape.append(size)
    return layer.add("crop", [value], {"cropping": sides}, tuple(shape) + value.shape[2:],
                     value.node in layer.builder.not_negative)


def up_sampling(layer):
    value = layer.map(layer.plain())
    factors = layer.pair("size", [2, 2])
    mode = layer.config.get("interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        layer.fail("interpolation is {!r}, only 'nearest' and 'bilinear' are supported".format(mode))
    shape = tuple(None if side is None else side * factor
                  for side, factor in zip(value.shape, factors)) + value.shape[2:]
    return layer.add("resize", [value], {"factors": factors, "mode": mode}, shape,
                     value.node in layer.builder.not_negative)
