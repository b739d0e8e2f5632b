"""Operations over windows of a map: convolutions, pools, resizing."""
import numpy as np

from .arrays import Stored
from .values import Value


class _Window(object):
    """Size, strides, dilations and padding of a window, and the size of the result."""

    def __init__(self, op, value, kernel, default_strides=(1, 1)):
        self.kernel = list(kernel)
        self.strides = op.integers("strides", 2, list(default_strides))
        self.dilations = op.integers("dilations", 2, [1, 1])
        if min(self.kernel + self.strides + self.dilations) < 1:
            op.fail("its window is {} in steps of {}".format(self.kernel, self.strides))
        self.ceil = bool(op.attribute("ceil_mode", 0))
        self.size = value.item.shape[:2]
        self.padding = self._padding(op)

    def _padding(self, op):
        """"same" or [top, left, bottom, right]."""
        kind = op.attribute("auto_pad", "NOTSET")
        if kind == "SAME_UPPER":
            return "same"
        if kind == "SAME_LOWER":
            return self._same_lower(op)
        return op.integers("pads", 4, [0, 0, 0, 0]) if kind == "NOTSET" else [0, 0, 0, 0]

    def _same_lower(self, op):
        before, after = [], []
        for axis in range(2):
            total = self.missing(axis)
            if total % 2 and self.strides[axis] != 1:
                op.fail("auto_pad SAME_LOWER with strides is not supported; export with pads")
            before.append(total - total // 2)
            after.append(total // 2)
        return before + after if self.strides == [1, 1] else "same"

    def reach(self, axis):
        """Pixels that a window spans."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def missing(self, axis):
        """Pixels that "same" puts around, as TensorFlow does it."""
        stride, size = self.strides[axis], self.size[axis]
        return max((-(-size // stride) - 1) * stride + self.reach(axis) - size, 0)

    def sides(self, op):
        """(height, width) of the result."""
        result = []
        for axis in range(2):
            size, stride = self.size[axis], self.strides[axis]
            before, after = 0, self.missing(axis)
            if self.padding != "same":
                before, after = self.padding[axis], self.padding[axis + 2]
            room = size + before + after - self.reach(axis)
            if room < 0:
                op.fail("its window spans {} pixels, its input has {}".format(
                    self.reach(axis), size + before + after))
            count = room // stride + 1
            if self.ceil and room % stride and count * stride < size + before:
                count += 1
            result.append(count)
        return result

    def adopt_same(self):
        """Say "same" where the padding is more at the end, as only TensorFlow's way has it.

        Exporters that know one size of image write it as numbers, which fit that size alone.
        """
        before, after = self.padding[:2], self.padding[2:]
        missing = [self.missing(axis) for axis in range(2)]
        if before != after and before == [total // 2 for total in missing] and after == [
                total - total // 2 for total in missing]:
            self.padding = "same"

    def covers_all(self):
        """Whether there is one window, which is the whole map."""
        return (self.padding == [0, 0, 0, 0] and tuple(self.kernel) == tuple(self.size)
                and self.dilations == [1, 1])


def conv(op, net):
    value = net.as_map(op.value())
    kernel = op.known(1, "its kernel")
    if len(kernel.shape) != 4:
        op.fail("its kernel has the shape {}, only maps are supported".format(kernel.shape))
    out, into, height, width = kernel.shape
    groups = op.attribute("group", 1)
    channels = value.item.shape[2]
    if groups < 1 or into * groups != channels or out % groups:
        op.fail("its kernel of shape {} in {} groups does not fit {} channels".format(
            kernel.shape, groups, channels))
    value, extra = _with_padding_before(op, net, value)
    window = _Window(op, value, (height, width))
    if any(extra):
        window.padding = [a + b for a, b in zip(window.padding, extra)]
        window.adopt_same()
    attributes = {"kernel": Stored((height, width, into, out),
                                   lambda: kernel.array().transpose(2, 3, 1, 0)),
                  "strides": window.strides, "padding": window.padding}
    if window.dilations != [1, 1]:
        attributes["dilations"] = window.dilations
    if groups != 1:
        attributes["groups"] = groups
    if op.has(2):
        attributes["bias"] = vector(op, op.known(2, "its bias"), out)
    item = net.emit("conv2d", [value.item], attributes, window.sides(op) + [out])
    return net.whole(item, "bchw")


def _with_padding_before(op, net, value):
    """The value before a padding with zeros, and the pixels of it to put around."""
    item = value.item
    if (item.op == "pad" and not item.attributes.get("value")
            and op.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID")):
        return net.whole(item.inputs[0], "bchw"), item.attributes["padding"]
    return value, [0, 0, 0, 0]


def vector(op, known, size):
    """A vector of that many numbers as an attribute."""
    if known.size != size:
        op.fail("has a vector of shape {}, expected {} numbers".format(known.shape, size))
    return Stored((size,), lambda: known.array().reshape(-1))


def _pool(op, net, name):
    value = net.as_map(op.value())
    kernel = op.integers("kernel_shape", 2, None)
    window = _Window(op, value, kernel)
    if window.dilations != [1, 1]:
        op.fail("a pool with dilations {} is not supported".format(window.dilations))
    if name == "max_pool" and len([output for output in op.outputs if output]) > 1:
        op.fail("the places of the maxima, its second result, are not supported")
    if window.covers_all():
        # An adaptive pool comes so out of an exporter that knows one size of image.
        return _global(net, value, "global_" + name)
    extra = [0, 0, 0, 0]
    if name == "max_pool":
        value, extra = _lowest_padding_before(op, net, value)
    if any(extra):
        window.size = value.item.shape[:2]
        window.padding = [a + b for a, b in zip(window.padding, extra)]
    attributes = {"pool_size": window.kernel, "strides": window.strides, "padding": window.padding}
    if window.ceil:
        attributes["ceil_mode"] = True
    if name == "average_pool" and op.attribute("count_include_pad", 0):
        attributes["count_include_padding"] = True
    item = net.emit(name, [value.item], attributes, window.sides(op) + [value.item.shape[2]])
    return net.whole(item, "bchw")


def _lowest_padding_before(op, net, value):
    """As for a convolution, where the padding is below every number or no window is beyond it."""
    item = value.item
    if (item.op == "pad" and item.attributes.get("value", 0.0) < -1e37
            and op.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID")):
        return net.whole(item.inputs[0], "bchw"), item.attributes["padding"]
    return value, [0, 0, 0, 0]


def max_pool(op, net):
    return _pool(op, net, "max_pool")


def average_pool(op, net):
    return _pool(op, net, "average_pool")


def _global(net, value, name):
    item = net.emit(name, [value.item], {}, (1, 1, value.item.shape[2]))
    return net.whole(item, "bchw")


def global_average_pool(op, net):
    return _global(net, net.as_map(op.value()), "global_average_pool")


def global_max_pool(op, net):
    return _global(net, net.as_map(op.value()), "global_max_pool")


# Reductions

def reduction(function):
    """The translator of ReduceMean and its like."""
    def translate(op, net):
        axes = op.setting("axes", 1)
        value = op.value()
        if axes is None:
            if op.attribute("noop_with_empty_axes", 0):
                return value
            op.fail("reduces over the images of a batch")
        keep = bool(op.attribute("keepdims", 1))
        return reduced(op, net, value, [int(axis) for axis in np.atleast_1d(axes)], function, keep)
    return translate


def reduced(op, net, value, axes, function, keep):
    """A value reduced over some of its axes."""
    rank = len(value.axes)
    axes = sorted(set(axis % rank for axis in axes))
    gone = [atom for axis in axes for atom in value.axes[axis]]
    if net.batch in gone:
        op.fail("reduces over the images of a batch")
    ids = set(id(atom) for atom in gone)
    maps = set(id(atom) for letter in "hw" for atom in value.base[letter])
    channels = set(id(atom) for atom in value.base["c"])
    if ids not in (maps, channels, maps | channels):
        rest = tuple(atom for i, axis in enumerate(value.axes) if i not in axes
                     for atom in net.without_batch(axis))
        value = net.settled(value, gone, (), rest)
        over_map, over_channels = True, False
    else:
        over_map = not ids or bool(maps) and maps <= ids
        over_channels = bool(channels) and channels <= ids
    item = value.item
    base = dict(value.base)
    if over_map:
        name = {"mean": "global_average_pool", "max": "global_max_pool"}.get(function)
        item = net.emit(name or "reduce", [item],
                        {} if name else {"axis": "map", "function": function},
                        (1, 1, item.shape[2]))
        base["h"] = base["w"] = ()
    if over_channels:
        item = net.emit("reduce", [item], {"axis": "channels", "function": function},
                        tuple(item.shape[:2]) + (1,))
        base["c"] = ()
    left = [() if i in axes else axis for i, axis in enumerate(value.axes)
            if keep or i not in axes]
    return Value(item, base, left)


# Others

def resize(op, net):
    value = net.as_map(op.value())
    sizes = value.item.shape[:2]
    factors = _factors(op, value)
    if factors == [1, 1]:
        return op.value()
    mode = op.attribute("mode", "nearest")
    if mode not in ("nearest", "linear"):
        op.fail("its mode is {!r}, only 'nearest' and 'linear' are supported".format(mode))
    older = "asymmetric" if op.opset < 11 else "half_pixel"
    how = op.attribute("coordinate_transformation_mode", older)
    how = {"pytorch_half_pixel": "half_pixel"}.get(how, how)
    if how not in ("half_pixel", "asymmetric", "align_corners"):
        op.fail("its coordinate_transformation_mode is {!r}".format(how))
    attributes = {"factors": factors, "mode": "bilinear" if mode == "linear" else "nearest"}
    if mode == "nearest":
        _check_nearest(op, how, factors)
    elif how != "half_pixel":
        attributes["coordinates"] = how
    shape = [side * factor for side, factor in zip(sizes, factors)] + [value.item.shape[2]]
    return net.whole(net.emit("resize", [value.item], attributes, shape), "bchw")


def _factors(op, value):
    """Whole factors of height and width."""
    scales, sizes = _scales_and_sizes(op)
    have, axes = value.shape, op.attribute("axes", [0, 1, 2, 3])
    wanted = dict(zip(axes, sizes if scales is None else scales))
    factors = []
    for axis in range(4):
        factor = wanted.get(axis, have[axis] if scales is None else 1)
        factor = float(factor) / have[axis] if scales is None else float(factor)
        if axis < 2 and factor != 1 or not 1 <= factor < 1 << 16 or factor != int(factor):
            op.fail("resizes axis {} by {:g}, only height and width by whole numbers are "
                    "supported".format(axis, factor))
        factors.append(int(factor))
    return factors[2:]


def _scales_and_sizes(op):
    if op.kind == "Upsample" or op.opset < 11:
        return op.setting("scales", 1), None
    scales = op.setting("scales", 2)
    return (scales, None) if scales else (None, op.setting("sizes", 3) or op.fail("lacks its size"))


def _check_nearest(op, how, factors):
    """Only those ways of rounding with which each pixel is repeated."""
    rounding = op.attribute("nearest_mode", "floor" if op.opset < 11 else "round_prefer_floor")
    repeats = (how == "half_pixel" and rounding.startswith("round_prefer")
               or how == "asymmetric" and rounding == "floor"
               or how == "asymmetric" and rounding == "round_prefer_floor" and max(factors) <= 2)
    if not repeats:
        op.fail("takes the nearest pixel in a way ({}, {}) that is not supported".format(
            how, rounding))


def local_response_norm(op, net):
    value = net.as_map(op.value())
    attributes = {"size": op.attribute("size"), "alpha": op.attribute("alpha", 1e-4),
                  "beta": op.attribute("beta", 0.75), "bias": op.attribute("bias", 1.0)}
    if not isinstance(attributes["size"], int) or attributes["size"] < 1:
        op.fail("its size is {!r}".format(attributes["size"]))
    return value.with_item(net.emit("local_response_norm", [value.item], attributes,
                                    value.item.shape))


def batch_norm(op, net):
    """BatchNormalization with the statistics of the file."""
    value = op.value()
    if op.attribute("training_mode", 0):
        op.fail("is in training mode")
    if len(value.axes) < 2:
        op.fail("its input has the shape {}".format(value.shape))
    channels = value.axes[1]
    if channels != value.base["c"]:
        rest = [net.without_batch(axis) for i, axis in enumerate(value.axes) if i != 1]
        rest = [axis for axis in rest if axis] + [(), ()]
        value = net.settled(value, rest[0], sum(rest[1:], ()), channels)
    count = value.item.shape[2]
    roles = ("gamma", "beta", "mean", "variance")
    attributes = dict((role, vector(op, op.known(index + 1), count))
                      for index, role in enumerate(roles))
    attributes["epsilon"] = op.attribute("epsilon", 1e-5)
    return value.with_item(net.emit("batch_norm", [value.item], attributes, value.item.shape))
