"""From items to nodes: what nobody wants left out, and what stands for a pattern written plainly."""
import numpy as np

from .arrays import Stored
from .values import Item


def is_array(value):
    """Whether an attribute is an array."""
    return isinstance(value, Stored)


def is_finite(values):
    """Whether there is neither NaN nor infinity among the values."""
    if values.size == 0:
        return True
    # The sum is not finite where a number is not; it may overflow where all are.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum(dtype=np.float64)) or np.isfinite(values).all())


def needed(items, targets):
    """The items that the targets need, in their order; the last target last."""
    wanted = set(id(item) for item in targets)
    for item in reversed(items):
        if id(item) in wanted:
            wanted.update(id(other) for other in item.inputs)
    result = [item for item in items if id(item) in wanted]
    if not any(item.op == "input" for item in result):
        result.insert(0, items[0])
    return result


def lowered(items, fail):
    """Items of operations that the core has."""
    result, exchange = [], {}
    for item in items:
        inputs = [exchange.get(id(other), other) for other in item.inputs]
        parts = _parts(item, inputs, fail)
        result += parts
        exchange[id(item)] = parts[-1]
    return result


def _parts(item, inputs, fail):
    if item.op == "affine":
        return _affine(item, inputs)
    if item.op == "roll":
        return _roll(item, inputs)
    if item.op in ("erf", "cube"):
        fail("node '{}' ({}): is only supported as a part of GELU".format(
            item.owner, {"erf": "Erf", "cube": "Pow"}[item.op]))
    return [_copy(item, item.op, inputs, item.attributes, item.name)]


def _copy(item, op, inputs, attributes, name, shape=None):
    made = Item(op, inputs, attributes, shape or item.shape, item.owner)
    made.name = name
    return made


def _affine(item, inputs):
    a, b, channels = item.attributes["a"], item.attributes["b"], item.shape[2]

    def full(number):
        return Stored.of(np.full(channels, number, np.float32))
    if b == 0.0:
        return [_copy(item, "scale", inputs, {"gamma": full(a)}, item.name)]
    if a == 1.0:
        return [_copy(item, "bias", inputs, {"bias": full(b)}, item.name)]
    scale = _copy(item, "scale", inputs, {"gamma": full(a)}, item.name + "/scale")
    return [scale, _copy(item, "bias", [scale], {"bias": full(b)}, item.name)]


def _roll(item, inputs):
    """Pixels moved towards the front along an axis; those that fall off come back at the end."""
    axis, shift = item.attributes["axis"], item.attributes["shift"]
    place = ("height", "width").index(axis)
    sides = [list(item.shape), list(item.shape)]
    sides[0][place] -= shift
    sides[1][place] = shift
    back = _copy(item, "slice", inputs, {"axis": axis, "start": shift}, item.name + "/back",
                 sides[0])
    front = _copy(item, "slice", inputs, {"axis": axis, "start": 0, "stop": shift},
                  item.name + "/front", sides[1])
    return [back, front, _copy(item, "concat", [back, front], {"axis": axis}, item.name)]


def check_same(first, second, fail):
    """That two translations, at two sizes of image, describe the same network."""
    for one, other in zip(first, second):
        if _signature(one) != _signature(other):
            fail("node '{}' depends on the size of the image in a way that cannot be described, and "
                 "the file leaves that size open; export it for a fixed size".format(one.owner))
    if len(first) != len(second):
        fail("is another network for each size of image; export it for a fixed size")


def _signature(item):
    attributes = []
    for key in sorted(item.attributes):
        value = item.attributes[key]
        if is_array(value):
            value = value.shape if item.op != "constant" else value.read().tobytes()
        attributes.append((key, value))
    return item.op, item.name, [other.name for other in item.inputs], attributes
