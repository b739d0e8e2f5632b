"""Operations on each number by itself, and the functions that exporters write as several of them.

``a * x + b`` with two numbers is an item of its own, "affine", so that the parts of a function are
recognised in whatever order its factors were written; what is left of them at the end becomes
`scale` and `bias`.
"""
import math

import numpy as np

from .arrays import Stored
from .layout import together
from .operation import Known
from .tokens import position_embedding
from .values import Value, size_of

_HALF_OF_ROOT_2 = math.sqrt(0.5)
_ROOT_2_OVER_PI = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715
_NO_LIMIT = 1e30


def near(a, b):
    """Whether two numbers are the same but for rounding to single or half precision."""
    return abs(a - b) <= 2e-4 * max(abs(a), abs(b))


def affine_of(item):
    """An item as ``a * root + b``: (root, a, b)."""
    if item.op == "affine":
        return item.inputs[0], item.attributes["a"], item.attributes["b"]
    return item, 1.0, 0.0


def affine(net, value, a, b):
    """``a * value + b``."""
    root, a0, b0 = affine_of(value.item)
    a, b = a * a0, a * b0 + b
    if abs(a - 1.0) < 1e-6 and b == 0.0:
        return value.with_item(root)
    if not (math.isfinite(a) and math.isfinite(b)):
        net.fail("multiplies or adds a number that is not finite")
    return value.with_item(net.emit("affine", [root], {"a": a, "b": b}, root.shape))


def apply(net, value, function, **settings):
    """An activation function of a value."""
    attributes = {"function": function}
    attributes.update(settings)
    return value.with_item(net.emit("activation", [value.item], attributes, value.item.shape))


def is_function(item, function):
    """Whether an item is that activation function."""
    return item.op == "activation" and item.attributes["function"] == function


def unary(function, **defaults):
    """The translator of an operation that is one of our functions, with its settings."""
    def translate(op, net):
        settings = dict((name, op.attribute(name, otherwise)) for name, otherwise in defaults.items())
        return apply(net, op.value(), function, **settings)
    return translate


def selu(op, net):
    if not (near(op.attribute("alpha", 1.6732632), 1.6732632)
            and near(op.attribute("gamma", 1.0507010), 1.0507010)):
        op.fail("is a SELU with other constants than the published ones")
    return apply(net, op.value(), "selu")


def gelu(op, net):
    return apply(net, op.value(),
                 "gelu_tanh" if op.attribute("approximate", "none") == "tanh" else "gelu")


def hard_swish(op, net):
    return apply(net, op.value(), "hard_swish")


def swish(op, net):
    if op.attribute("alpha", 1.0) != 1.0:
        op.fail("its alpha is not 1")
    return apply(net, op.value(), "silu")


def pseudo(name):
    """An operation that is only known as a part of a pattern."""
    def translate(op, net):
        value = op.value()
        return value.with_item(net.emit(name, [value.item], {}, value.item.shape))
    return translate


def negative(op, net):
    return affine(net, op.value(), -1.0, 0.0)


def reciprocal(op, net):
    value = op.value()
    return value.with_item(net.emit("divide", [net.constant(np.ones((1, 1, 1), np.float32)),
                                               value.item], {}, value.item.shape))


def power(op, net):
    value, exponent = op.value(), op.known(1, "its exponent").array()
    if exponent.size != 1:
        op.fail("its exponent has the shape {}".format(exponent.shape))
    exponent = float(exponent.reshape(()))
    if exponent == 1.0:
        return value
    if exponent in (2.0, 0.5):
        return apply(net, value, "square" if exponent == 2.0 else "sqrt")
    if exponent == 3.0:
        return pseudo("cube")(op, net)
    if exponent == -0.5:
        root = apply(net, value, "sqrt")
        return root.with_item(net.emit("divide", [net.constant(np.ones((1, 1, 1), np.float32)),
                                                  root.item], {}, root.item.shape))
    return op.fail("raises to the power {:g}, only 0.5, 2 and 3 are supported".format(exponent))


# Limits

def limited(net, value, lowest, highest):
    """A value within limits, either of which may be None."""
    lowest = None if lowest is None or lowest < -_NO_LIMIT else float(lowest)
    highest = None if highest is None or highest > _NO_LIMIT else float(highest)
    if lowest is None and highest is None:
        return value
    if lowest == 0.0 and (highest is None or highest > 0.0):
        attributes = {} if highest is None else {"max_value": highest}
        return value.with_item(net.emit("relu", [value.item], attributes, value.item.shape))
    attributes = {}
    if lowest is not None:
        attributes["min_value"] = lowest
    if highest is not None:
        attributes["max_value"] = highest
    return value.with_item(net.emit("clip", [value.item], attributes, value.item.shape))


def relu(op, net):
    return limited(net, op.value(), 0.0, None)


def clip(op, net):
    limits = [op.setting(name, index) for index, name in ((1, "min"), (2, "max"))]
    limits = [limit[0] if isinstance(limit, list) else limit for limit in limits]
    return limited(net, op.value(), *limits)


def prelu(op, net):
    value = op.value()
    slope = op.known(1, "its slope").array()
    if slope.size == 1:
        return apply(net, value, "leaky_relu", alpha=float(slope.reshape(())))
    array = net.in_base(value, slope)
    if array is None or array.shape[:2] != (1, 1):
        op.fail("its slope of shape {} is not one number a channel".format(slope.shape))
    return value.with_item(net.emit("prelu", [value.item], {"alpha": _vector(value, array)},
                                    value.item.shape))


def _vector(value, array):
    """One number a channel of an array (1, 1, channels or 1)."""
    channels = value.item.shape[2]
    return Stored((channels,), lambda: np.broadcast_to(array.reshape(-1), (channels,)))


# Two operands

def _ranked(op, value, array):
    """The value with as many axes as the constant that it is joined with, at least."""
    missing = array.ndim - len(value.axes)
    return value.with_axes(((),) * missing + value.axes) if missing > 0 else value


def _with_constant(op, net, value, array, name, swapped=False):
    """`value` joined with a constant that is more than one number."""
    value = _ranked(op, value, array)
    placed = net.in_base(value, array)
    if placed is None:
        op.fail("joins shapes {} and {} in a way that is not supported".format(
            value.shape, array.shape))
    if placed.shape[:2] == (1, 1) and not swapped and name in ("add", "subtract", "multiply", "divide"):
        return _by_channel(net, value, placed, name)
    if name == "add":
        embedded = position_embedding(net, value, placed)
        if embedded is not None:
            return embedded
    constant = net.constant(placed)
    items = [constant, value.item] if swapped else [value.item, constant]
    return value.with_item(net.emit(name, items, {}, value.item.shape))


def _by_channel(net, value, placed, name):
    """A number for each channel, added or multiplied; part of a norm where it follows one."""
    if name in ("subtract", "divide"):
        with np.errstate(all="ignore"):
            placed = -placed if name == "subtract" else 1.0 / placed
    vector = _vector(value, placed)
    role, op = ("beta", "bias") if name in ("add", "subtract") else ("gamma", "scale")
    item = value.item
    if item.op in ("layer_norm", "group_norm") and role not in item.attributes and (
            role == "beta" or "beta" not in item.attributes):
        attributes = dict(item.attributes)
        attributes[role] = vector
        return value.with_item(net.emit(item.op, item.inputs, attributes, item.shape))
    key = "bias" if op == "bias" else "gamma"
    return value.with_item(net.emit(op, [item], {key: vector}, item.shape))


def _split_operands(op):
    """(value, array, whether the constant comes first); the array is None for two values."""
    if len(op.inputs) != 2 or not (op.has(0) and op.has(1)):
        op.fail("has {} inputs, expected two".format(len(op.inputs)))
    first, second = op.inputs
    if isinstance(first, Known):
        return op.value(1), first.array(), True
    if isinstance(second, Known):
        return op.value(0), second.array(), False
    return op.value(0), None, False


def _join(op, net, first, second, name):
    items, base, axes = together(op, net, first, second)
    shape = [size_of(base[letter]) for letter in "hwc"]
    return Value(net.emit(name, items, {}, shape), base, axes)


def add(op, net):
    value, array, _ = _split_operands(op)
    if array is None:
        return _join(op, net, value, op.value(1), "add")
    if array.size == 1:
        return affine(net, _ranked(op, value, array), 1.0, float(array.reshape(())))
    return _with_constant(op, net, value, array, "add")


def total(op, net):
    """Sum of any number of tensors."""
    value = op.inputs[0]
    for other in op.inputs[1:]:
        value = add(_Pair(op, value, other), net)
    return value


class _Pair(object):
    """Two operands of an operation that may have more."""

    def __init__(self, op, first, second):
        self.inputs = [first, second]
        self.fail = op.fail

    def has(self, index):
        return self.inputs[index] is not None

    def value(self, index=0):
        if not isinstance(self.inputs[index], Value):
            self.fail("its inputs are of a kind that is not supported here")
        return self.inputs[index]


def subtract(op, net):
    value, array, swapped = _split_operands(op)
    if array is None:
        return _join(op, net, value, op.value(1), "subtract")
    if array.size == 1:
        value, number = _ranked(op, value, array), float(array.reshape(()))
        return affine(net, value, -1.0, number) if swapped else affine(net, value, 1.0, -number)
    if swapped:
        return _with_constant(op, net, affine(net, value, -1.0, 0.0), array, "add")
    return _with_constant(op, net, value, array, "subtract")


def multiply(op, net):
    value, array, _ = _split_operands(op)
    if array is None:
        other = op.value(1)
        found = _gated(net, value, other) or _gated(net, other, value) or _normed(
            net, value, other.item) or _normed(net, other, value.item)
        return found or _join(op, net, value, other, "multiply")
    if array.size == 1:
        return affine(net, _ranked(op, value, array), float(array.reshape(())), 0.0)
    return _with_constant(op, net, value, array, "multiply")


def divide(op, net):
    value, array, swapped = _split_operands(op)
    if array is None:
        other = op.value(1)
        return _normed(net, value, other.item, over=True) or _join(op, net, value, other, "divide")
    if swapped:
        return _with_constant(op, net, value, array, "divide", swapped=True)
    if array.size == 1:
        number = float(array.reshape(()))
        if number == 0.0:
            op.fail("divides by zero")
        return affine(net, _ranked(op, value, array), 1.0 / number, 0.0)
    return _with_constant(op, net, value, array, "divide")


def extremum(name):
    """The translator of Max or Min."""
    def translate(op, net):
        result = op.inputs[0]
        for other in op.inputs[1:] or [None]:
            if other is None:
                return op.value()
            pair = _Pair(op, result, other)
            value, array, _ = _split_operands(pair)
            if array is None:
                result = _join(pair, net, value, pair.value(1), name)
            elif array.size == 1:
                limit = float(array.reshape(()))
                value = _ranked(op, value, array)
                result = limited(net, value, limit, None) if name == "maximum" else limited(
                    net, value, None, limit)
            else:
                result = _with_constant(op, net, value, array, name)
        return result
    return translate


# Functions written as several operations

def _same_arrangement(first, second):
    return first.axes == second.axes and first.base == second.base


def _gated(net, value, gate):
    """``x * g(x)`` where that is a function of its own, else None."""
    if not _same_arrangement(value, gate):
        return None
    for root, a, b in ((value.item, 1.0, 0.0), affine_of(value.item)):
        if b != 0.0:
            continue
        found = _gate_function(root, *affine_of(gate.item))
        if found is not None:
            function, factor = found
            if function == "square" and (a, factor) != (1.0, 1.0):
                continue
            return affine(net, apply(net, value.with_item(root), function), a * factor, 0.0)
    return None


def _gate_function(x, gate, a, b):
    """(function, factor) where ``x * (a * gate + b)`` is ``factor * function(x)``."""
    if gate is x and a == 1.0 and b == 0.0:
        return "square", 1.0
    if not gate.inputs:
        return None
    root, p, q = affine_of(gate.inputs[0])
    direct = gate.inputs[0] is x
    if b == 0.0:
        if is_function(gate, "sigmoid") and direct:
            return "silu", a
        if is_function(gate, "hard_sigmoid") and direct and near(
                gate.attributes["alpha"], 1.0 / 6.0) and near(gate.attributes["beta"], 0.5):
            return "hard_swish", a
        if (gate.op == "relu" and gate.attributes.get("max_value") == 6.0 and root is x
                and (p, q) == (1.0, 3.0)):
            return "hard_swish", a * 6.0
        if is_function(gate, "tanh") and is_function(gate.inputs[0], "softplus") and \
                gate.inputs[0].inputs[0] is x:
            return "mish", a
    elif near(a, b):
        if gate.op == "erf" and root is x and near(p, _HALF_OF_ROOT_2) and q == 0.0:
            return "gelu", 2.0 * a
        if is_function(gate, "tanh") and _is_cubic(root, p, q, x):
            return "gelu_tanh", 2.0 * a
    return None


def _is_cubic(item, factor, offset, x):
    """Whether ``factor * item + offset`` is the inner polynomial of the approximate GELU of x."""
    if offset != 0.0 or item.op not in ("add", "multiply") or len(item.inputs) != 2:
        return False
    for first, second in (item.inputs, item.inputs[::-1]):
        (root, a, b), (other, c, d) = affine_of(first), affine_of(second)
        if root is not x or b != 0.0:
            continue
        if item.op == "add" and d == 0.0 and _is_cube(other, x):
            return near(factor * a, _ROOT_2_OVER_PI) and near(c / a, _CUBIC)
        if item.op == "multiply" and is_function(other, "square") and other.inputs[0] is x and d:
            return near(factor * a * d, _ROOT_2_OVER_PI) and near(c / d, _CUBIC)
    return False


def _is_cube(item, x):
    if item.op == "cube":
        return item.inputs[0] is x
    return item.op == "multiply" and any(
        first is x and is_function(second, "square") and second.inputs[0] is x
        for first, second in (item.inputs, item.inputs[::-1]))


def _normed(net, value, divisor, over=False):
    """Layer norm where ``value`` is x less its mean and `divisor` its deviation (or one over it)."""
    if not over:
        if divisor.op != "divide" or divisor.inputs[0].op != "constant" or \
                divisor.inputs[0].shape != (1, 1, 1):
            return None
        divisor = divisor.inputs[1]
    if not is_function(divisor, "sqrt"):
        return None
    variance, a, epsilon = affine_of(divisor.inputs[0])
    x = _centred(value.item)
    if (x is None or a != 1.0 or epsilon <= 0.0 or not _is_mean(variance)
            or not is_function(variance.inputs[0], "square")
            or _centred(variance.inputs[0].inputs[0]) is not x):
        return None
    return value.with_item(net.emit("layer_norm", [x], {"epsilon": epsilon}, x.shape))


def _is_mean(item):
    return item.op == "reduce" and item.attributes == {"axis": "channels", "function": "mean"}


def _centred(item):
    """x where an item is x less the mean of its channels."""
    if item.op == "subtract" and _is_mean(item.inputs[1]) and item.inputs[1].inputs[0] is \
            item.inputs[0]:
        return item.inputs[0]
    return None
