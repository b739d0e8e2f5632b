"""Normalisation, softmax and fully connected layers."""
import numpy as np

from .arrays import Stored
from .operation import Known
from .values import Value, letter_atoms, size_of
from .windows import vector


def layer_norm(op, net):
    value = op.value()
    axis = op.attribute("axis", -1)
    if axis % len(value.axes) != len(value.axes) - 1:
        op.fail("normalises over axes from {} on, only the last axis is supported".format(axis))
    value = net.last_as_channels(value)
    count = value.item.shape[2]
    attributes = {"epsilon": op.attribute("epsilon", 1e-5)}
    for role, index in (("gamma", 1), ("beta", 2)):
        if op.has(index):
            attributes[role] = vector(op, op.known(index), count)
    return value.with_item(net.emit("layer_norm", [value.item], attributes, value.item.shape))


def instance_norm(op, net):
    """Also a group norm, which exporters write as a reshape to groups before and after this."""
    value = op.value()
    net.images(value)
    own = value.axes[1]
    rest = [atom for axis in value.axes[2:] for atom in axis]
    channels = value.base["c"]
    if channels[:len(own)] != own or set(map(id, rest)) | set(map(id, own)) != set(
            id(atom) for letter in "hwc" for atom in value.base[letter]):
        inner = [net.without_batch(axis) for axis in value.axes[2:]]
        inner = [axis for axis in inner if axis] + [(), ()]
        value = net.settled(value, inner[0], sum(inner[1:], ()), own)
    groups, count = size_of(own), value.item.shape[2]
    attributes = {"groups": groups, "epsilon": op.attribute("epsilon", 1e-5)}
    for role, index, nothing in (("gamma", 1, 1.0), ("beta", 2, 0.0)):
        known = op.known(index)
        if known.size != groups:
            op.fail("has a vector of shape {}, expected {} numbers".format(known.shape, groups))
        array = np.repeat(known.array().reshape(-1), count // groups)
        if not np.all(array == nothing):
            attributes[role] = Stored.of(array)
    return value.with_item(net.emit("group_norm", [value.item], attributes, value.item.shape))


def group_norm(op, net):
    value = net.as_map(op.value())
    groups, count = op.attribute("num_groups"), value.item.shape[2]
    if not isinstance(groups, int) or groups < 1 or count % groups:
        op.fail("has {!r} groups for {} channels".format(groups, count))
    attributes = {"groups": groups, "epsilon": op.attribute("epsilon", 1e-5)}
    for role, index in (("gamma", 1), ("beta", 2)):
        array = op.known(index).array().reshape(-1)
        if op.opset < 21 and len(array) == groups:
            array = np.repeat(array, count // groups)
        if len(array) != count:
            op.fail("has {} numbers for {} channels".format(len(array), count))
        attributes[role] = Stored.of(array)
    return value.with_item(net.emit("group_norm", [value.item], attributes, value.item.shape))


def softmax(op, net):
    value = op.value()
    rank = len(value.axes)
    axis = op.attribute("axis", 1 if op.opset < 13 else -1) % rank
    if op.opset < 13 and any(side != 1 for side in value.shape[axis + 1:]):
        op.fail("is a softmax over several axes, which is not supported")
    if value.axes[axis] != value.base["c"]:
        if axis == rank - 1:
            value = net.last_as_channels(value)
        elif rank == 4 and axis == 1:
            value = net.as_map(value)
        else:
            rest = [net.without_batch(a) for i, a in enumerate(value.axes) if i != axis]
            rest = [a for a in rest if a] + [(), ()]
            value = net.settled(value, rest[0], sum(rest[1:], ()), value.axes[axis])
    return value.with_item(net.emit("softmax", [value.item], {}, value.item.shape))


# Fully connected layers

def linear(op, net, value, weight, transposed=False, bias=None, factor=1.0):
    """``value @ weight`` along the last axis; with `transposed`, the weight is (out, in)."""
    into, out = weight.shape[::-1] if transposed else weight.shape
    value = net.last_as_channels(value)
    height, width, count = value.item.shape
    if count != into:
        op.fail("multiplies {} numbers by a matrix of shape {}".format(count, weight.shape))
    is_flat = height == width == 1
    shape = (into, out) if is_flat else (1, 1, into, out)

    def kernel():
        matrix = weight.array().T if transposed else weight.array()
        return (matrix if factor == 1.0 else matrix * np.float32(factor)).reshape(shape)

    attributes = {"kernel": Stored(shape, kernel)}
    if bias is not None:
        attributes["bias"] = bias
    if not is_flat:
        attributes.update(strides=[1, 1], padding=[0, 0, 0, 0])
    item = net.emit("dense" if is_flat else "conv2d", [value.item], attributes, (height, width, out))
    base, atoms = dict(value.base), letter_atoms("c", out)
    base["c"] = atoms
    batch = tuple(atom for atom in value.axes[-1] if atom is net.batch)
    return Value(item, base, value.axes[:-1] + (batch + atoms,))


def gemm(op, net):
    if op.attribute("transA", 0):
        op.fail("has its first input transposed, which is not supported")
    weight = op.known(1, "its matrix")
    if len(weight.shape) != 2:
        op.fail("its matrix has the shape {}".format(weight.shape))
    transposed = bool(op.attribute("transB", 0))
    out = weight.shape[0 if transposed else 1]
    bias = None
    if op.has(2) and op.attribute("beta", 1.0) != 0.0:
        known, beta = op.known(2, "its bias"), op.attribute("beta", 1.0)
        if known.size not in (1, out) or known.shape[:-1] not in ((), (1,)):
            op.fail("its bias has the shape {}".format(known.shape))
        bias = Stored((out,), lambda: np.broadcast_to(
            known.array().reshape(-1) * np.float32(beta), (out,)))
    return linear(op, net, op.value(), weight, transposed, bias, op.attribute("alpha", 1.0))


def matrix_of(op, known):
    """A constant that is one matrix for all images."""
    if len(known.shape) < 2 or any(side != 1 for side in known.shape[:-2]):
        op.fail("multiplies by a constant of shape {}".format(known.shape))
    return Known(known.shape[-2:], lambda: known.array().reshape(known.shape[-2:]))


def matmul_by_constant(op, net):
    """MatMul where one side is a constant."""
    if isinstance(op.inputs[1], Known):
        value = op.value(0)
        extra = len(op.inputs[1].shape) - len(value.axes)
        value = value.with_axes(((),) * max(extra, 0) + value.axes)
        return linear(op, net, value, matrix_of(op, op.inputs[1]))
    value, weight = op.value(1), matrix_of(op, op.inputs[0])
    if len(value.axes) < 2:
        op.fail("multiplies a vector")
    turned = value.with_axes(value.axes[:-2] + (value.axes[-1], value.axes[-2]))
    result = linear(op, net, turned, weight, transposed=True)
    return result.with_axes(result.axes[:-2] + (result.axes[-1], result.axes[-2]))
