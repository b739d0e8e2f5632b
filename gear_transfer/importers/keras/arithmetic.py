"""Sums, products and the like: of tensors and of constants, by layers and by functions."""
import numpy as np

from .builder import Value
from .layer import numbers


def _several(layer):
    """The inputs of a merging layer, all of one rank, and whether none is negative."""
    values = [layer.builder.plain(value) for value in layer.inputs()]
    if len(values) < 2:
        layer.fail("has {} inputs, expected two or more".format(len(values)))
    for value in values:
        if len(value.shape) != len(values[0].shape):
            layer.fail("its inputs have shapes {}".format([v.shape for v in values]))
    return values, all(value.node in layer.builder.not_negative for value in values)


def _common(layer, sizes, values):
    """The one size that all the known sizes agree on."""
    known = set(size for size in sizes if size is not None)
    if len(known) > 1:
        layer.fail("its inputs have shapes {}".format([value.shape for value in values]))
    return known.pop() if known else None


def _broadcast(layer, values):
    """The shape of the result where sides of 1 are repeated."""
    shape = []
    for sizes in zip(*(value.shape for value in values)):
        others = [size for size in sizes if size != 1]
        shape.append(_common(layer, others, values) if others else 1)
    return tuple(shape)


def concatenate(layer):
    values, positive = _several(layer)
    layer.check_last_axis(values[0], layer.setting("axis", 1, -1))
    shape = [_common(layer, sizes, values)
             for sizes in zip(*(value.shape[:-1] for value in values))]
    last = [value.shape[-1] for value in values]
    shape.append(None if None in last else sum(last))
    return layer.add("concat", values, {}, tuple(shape), positive)


def add(layer):
    values, positive = _several(layer)
    if len(values) > 2 and len(set(value.shape for value in values)) > 1:
        return _chain(layer, "add", values)
    return layer.add("add", values, {}, _broadcast(layer, values), positive)


def _chain(layer, op, values):
    """A node of two inputs after the other; the last one has the layer's name."""
    result = values[0]
    for index, value in enumerate(values[1:], 2):
        part = None if index == len(values) else "part{}".format(index - 1)
        result = _combine(layer, op, result, value, part)
    return result


def _combine(layer, op, one, two, part=None):
    positive = all(value.node in layer.builder.not_negative for value in (one, two))
    return layer.add(op, [one, two], {}, _broadcast(layer, [one, two]),
                     positive and op != "subtract", part)


def merge(op):
    """A translator of a layer that joins two or more tensors."""
    def translate(layer):
        return _chain(layer, op, _several(layer)[0])
    return translate


def average(layer):
    values, positive = _several(layer)
    if len(set(value.shape for value in values)) > 1:
        layer.fail("its inputs have shapes {}".format([value.shape for value in values]))
    total = layer.add("add", values, {}, values[0].shape, positive, part="sum")
    return scaled(layer, total, 1.0 / len(values))


def dot(layer):
    layer.fail("is not supported; tap a layer before it")


def custom_scale(layer):
    """InceptionResNetV2's own layer: the first input and the second one, scaled."""
    values, _ = _several(layer)
    if len(values) != 2:
        layer.fail("has {} inputs, expected two".format(len(values)))
    scale = layer.number("scale")
    if scale is None:
        layer.fail("has no scale")
    return _combine(layer, "add", values[0], scaled(layer, values[1], scale, part="scaled"))


# Constants

def per_channel(layer, value, given):
    """A constant as one number for each channel, ndarray of float32, or None where it is a map."""
    channels = layer.channels(value)
    array = given if isinstance(given, np.ndarray) else constant_array(layer, given)
    if array.size == 1:
        layer.builder.count(layer, channels)
        return np.full(channels, array.reshape(-1)[0], np.float32)
    if array.size == channels and array.shape[-1] == channels:
        return array.reshape(-1)
    return None


def constant_array(layer, given):
    """A constant of the file, ndarray of float32 of the shape it has there."""
    if isinstance(given, dict):
        given = (given.get("config") or {}).get("value") if isinstance(
            given.get("config"), dict) else None
    found = numbers(given)
    if not found:
        layer.fail("reads the constant {!r}, which is not made of numbers".format(
            str(given)[:80]))
    try:
        array = np.array(given, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        layer.fail("reads a constant whose lists do not have one length")
    if array.size != len(found):
        layer.fail("reads a constant whose lists do not have one length")
    return array


def _constant_value(layer, value, array):
    """A constant that differs between pixels, as a node."""
    array = array.reshape(array.shape[1:]) if (array.ndim == len(value.shape) + 1
                                               and array.shape[0] == 1) else array
    if array.ndim > len(value.shape):
        layer.fail("reads a constant of shape {}, its input has {}".format(
            array.shape, value.shape))
    shape = (1,) * (len(value.shape) - array.ndim) + array.shape
    ours = {1: (1, 1) + shape, 2: (shape[0], 1) + shape[-1:], 3: shape}[len(shape)]
    name = layer.builder.constant(layer, "constant", array.reshape(ours))
    made = layer.add("constant", [], {"value": name}, shape, part="constant")
    return Value(made.node, shape, None)


def _by_channel(layer, value, numbers, part, kind):
    """The node ("scale" or "bias") that applies one number, or one for each channel."""
    role, words = {"scale": ("gamma", "factors"), "bias": ("bias", "offsets")}[kind]
    array = per_channel(layer, value, np.asarray(numbers, dtype=np.float32))
    if array is None:
        layer.fail("has {} of shape {}, its input has {} channels".format(
            words, np.shape(numbers), value.shape[-1]))
    positive = value.node in layer.builder.not_negative and bool((array >= 0).all())
    name = layer.builder.constant(layer, role if part is None else part + "/" + role, array)
    return layer.add(kind, [value], {role: name}, value.shape, positive, part)


def scaled(layer, value, factor, part=None):
    """The value times a number or one number for each channel."""
    return _by_channel(layer, value, factor, part, "scale")


def shifted(layer, value, offset, part=None):
    """The value and a number or one number for each channel."""
    return _by_channel(layer, value, offset, part, "bias")


def rescaling(layer):
    """``x * scale + offset``, each a number or one for each channel."""
    value = layer.plain()
    scale = constant_array(layer, layer.config.get("scale", 1.0))
    offset = constant_array(layer, layer.config.get("offset", 0.0))
    if not offset.any():
        return scaled(layer, value, scale)
    return shifted(layer, scaled(layer, value, scale, part="scaled"), offset)


# Functions of two operands

def binary(op):
    """A translator of a function of two operands, one of which may be a constant."""
    def translate(layer):
        one, two = _operands(layer)
        if isinstance(one, Value) and isinstance(two, Value):
            if len(one.shape) != len(two.shape):
                one, two = _same_rank(layer, one, two)
            return _combine(layer, op, one, two)
        if isinstance(two, Value):
            return _constant_first(layer, op, constant_array(layer, one), two)
        return _constant_second(layer, op, one, constant_array(layer, two))
    return translate


def _operands(layer):
    """The two operands, in lists, by position or by name."""
    given = list(layer.args)
    if len(given) == 1 and isinstance(given[0], list):
        given = list(given[0])
    for key in ("x", "x1", "y", "x2", "value", "bias"):
        if len(given) < 2 and layer.kwargs.get(key) is not None:
            given.append(layer.kwargs[key])
    if len(given) < 2 or not any(isinstance(item, Value) for item in given[:2]):
        layer.fail("has {} operands, expected two".format(len(given)))
    return [layer.builder.plain(item) if isinstance(item, Value) else item for item in given[:2]]


def _same_rank(layer, one, two):
    """A flat value beside a map is one pixel that is repeated; others do not agree."""
    if sorted((len(one.shape), len(two.shape))) != [1, 3]:
        layer.fail("its operands have shapes {} and {}".format(one.shape, two.shape))
    return [value if len(value.shape) == 3 else value._replace(shape=(1, 1) + value.shape)
            for value in (one, two)]


def _constant_second(layer, op, value, array):
    channels = per_channel(layer, value, array)
    if channels is not None and op in ("maximum", "minimum") and array.size == 1:
        key = "min_value" if op == "maximum" else "max_value"
        bound = float(channels[0])
        return layer.add("clip", [value], {key: bound}, value.shape,
                         op == "maximum" and bound >= 0)
    if channels is None or op in ("maximum", "minimum"):
        return _combine(layer, op, value, _constant_value(layer, value, array))
    if op == "add":
        return shifted(layer, value, channels)
    if op == "subtract":
        return shifted(layer, value, -channels)
    if op == "divide":
        if not channels.all():
            layer.fail("divides by zero")
        return scaled(layer, value, 1.0 / channels.astype(np.float64))
    return scaled(layer, value, channels)


def _constant_first(layer, op, array, value):
    if op in ("add", "multiply", "maximum", "minimum"):
        return _constant_second(layer, op, value, array)
    channels = per_channel(layer, value, array)
    if op == "subtract" and channels is not None:
        return shifted(layer, scaled(layer, value, -1.0, part="negative"), channels)
    return _combine(layer, op, _constant_value(layer, value, array), value)


def negative(layer):
    return scaled(layer, layer.plain(), -1.0)


def clip(layer):
    value = layer.plain()
    bounds = [layer.setting(key, position, None) for key, position in (("x_min", 1), ("x_max", 2))]
    if layer.builder.major < 3:
        bounds = [layer.setting(key, position, None)
                  for key, position in (("clip_value_min", 1), ("clip_value_max", 2))]
    attributes = {}
    for key, bound in zip(("min_value", "max_value"), bounds):
        if bound is not None:
            array = constant_array(layer, bound)
            if array.size != 1:
                layer.fail("has bounds of several numbers")
            attributes[key] = float(array.reshape(-1)[0])
    return layer.add("clip", [value], attributes, value.shape,
                     attributes.get("min_value", -1.0) >= 0.0)
