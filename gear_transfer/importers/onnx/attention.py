"""Attention, recognised by what its products multiply.

The product of two tensors that depend on the image is no node of ours: it is kept as `Scores`
until a product with a third makes an `attention` of it.
"""
import numpy as np

from .arithmetic import affine_of
from .arrays import Stored
from .attention_parts import Part, atoms_of_bias, packed_source
from .norms import matmul_by_constant
from .operation import Known
from .shifted_windows import windowed
from .values import Value, size_of


class Scores(object):
    """softmax(scale * q k^T + bias) on its way.

    Parameters
    ----------
    query, key : Value
        Their last axes are (tokens, width) and (width, tokens).
    view : Value
        Without an item: what the axes of the product are made of.
    scale : float
    biases : tuple of ndarray
        Each with one axis for each axis of the product.
    is_softmax : bool
    is_turned : bool
        Whether the last two axes are exchanged.
    """

    def __init__(self, query, key, view, scale=1.0, biases=(), is_softmax=False,
                 is_turned=False):
        self.query = query
        self.key = key
        self.view = view
        self.scale = scale
        self.biases = biases
        self.is_softmax = is_softmax
        self.is_turned = is_turned

    def changed(self, **settings):
        """A copy with other settings."""
        now = dict(query=self.query, key=self.key, view=self.view, scale=self.scale,
                   biases=self.biases, is_softmax=self.is_softmax, is_turned=self.is_turned)
        now.update(settings)
        return Scores(**now)


class NotANumber(object):
    """The places of scores that are not numbers: there are none."""

    def __init__(self, scores):
        self.scores = scores


def matmul(op, net):
    """MatMul of whatever is multiplied."""
    first, second = op.inputs[:2]
    if isinstance(first, Known) or isinstance(second, Known):
        return matmul_by_constant(op, net)
    if isinstance(second, Scores) and second.is_turned:
        value = _turned(op.value(0))
        return _turned(_attended(op, net, second.changed(is_turned=False), value))
    if isinstance(first, Scores) and not first.is_turned:
        return _attended(op, net, first, op.value(1))
    query, key = op.value(0), op.value(1)
    if len(query.axes) < 3 or len(query.axes) != len(key.axes) or size_of(
            query.axes[-1]) != size_of(key.axes[-2]):
        op.fail("multiplies tensors of shapes {} and {}, which is only supported as a part of "
                "attention".format(query.shape, key.shape))
    view = Value(None, {"h": (), "w": (), "c": ()}, query.axes[:-1] + key.axes[-1:])
    return Scores(query, key, view)


def on_scores(op, net):
    """An operation on scores that have not met their values yet."""
    scores = [known for known in op.inputs if isinstance(known, (Scores, NotANumber))][0]
    if op.kind in ("Identity", "Dropout", "Cast"):
        return scores
    if op.kind == "IsNaN" and isinstance(scores, Scores):
        return NotANumber(scores)
    if op.kind == "Where" and isinstance(scores, NotANumber) and op.inputs[2] is scores.scores:
        return scores.scores
    if isinstance(scores, NotANumber):
        op.fail("is not supported within attention")
    if op.kind == "Transpose" and scores.is_softmax:
        rank = len(scores.view.axes)
        if op.attribute("perm") == list(range(rank - 2)) + [rank - 1, rank - 2]:
            return scores.changed(is_turned=not scores.is_turned)
    if scores.is_turned:
        op.fail("is not supported within attention")
    if op.kind == "Softmax":
        return _softmax(op, scores)
    if op.kind in ("Mul", "Div", "Add", "Sub"):
        return _with_constant(op, scores)
    if op.kind == "Reshape" and not scores.is_softmax:
        sizes = [int(side) for side in op.setting("shape", 1)]
        return _reshaped(op, net, scores, sizes)
    if op.kind == "Unsqueeze" and not scores.is_softmax:
        axes = [int(axis) for axis in op.setting("axes", 1)]
        sizes = scores.view.shape
        for axis in sorted(axis % (len(sizes) + len(axes)) for axis in axes):
            sizes.insert(axis, 1)
        return _reshaped(op, net, scores, sizes)
    return op.fail("is not supported within attention")


def _softmax(op, scores):
    rank = len(scores.view.axes)
    axis = op.attribute("axis", 1 if op.opset < 13 else -1) % rank
    if axis != rank - 1 or scores.is_softmax:
        op.fail("is a softmax along axis {}, attention has it along the last".format(axis))
    return scores.changed(is_softmax=True)


def _reshaped(op, net, scores, sizes):
    have = scores.view.shape
    sizes = [have[i] if side == 0 else side for i, side in enumerate(sizes)]
    if sizes.count(-1) == 1:
        total, known = 1, 1
        for side in have:
            total *= side
        for side in sizes:
            known *= side if side != -1 else 1
        sizes[sizes.index(-1)] = total // known
    if sizes[-2:] != have[-2:]:
        op.fail("reshapes the scores of attention from {} to {}".format(have, sizes))
    view = net.reshape(scores.view, sizes)
    biases = tuple(_reshaped_bias(op, bias, scores.view, view) for bias in scores.biases)
    return scores.changed(view=view, biases=biases)


def _reshaped_bias(op, bias, old, new):
    """A bias that follows a reshape of what it is added to, by the atoms of both."""
    atoms, sizes = atoms_of_bias(op, bias, old)
    places = dict((id(atom), size) for atom, size in zip(atoms, sizes))
    shape = []
    for axis in new.axes:
        side = 1
        for atom in axis:
            side *= places.get(id(atom), 1)
        if side not in (1, size_of(tuple(a for a in axis if a.letter != "b"))):
            op.fail("reshapes the scores of attention in a way that is not supported")
        shape.append(side)
    return bias.reshape(shape)


def _with_constant(op, scores):
    """A factor, or a bias added."""
    at = 0 if isinstance(op.inputs[0], Scores) else 1
    other = op.inputs[1 - at]
    if not isinstance(other, Known) or (at and op.kind in ("Sub", "Div")) or scores.is_softmax:
        op.fail("joins the scores of attention with what is not supported")
    array = other.array()
    if op.kind in ("Mul", "Div"):
        if array.size != 1:
            op.fail("multiplies the scores of attention by shape {}".format(array.shape))
        factor = float(array.reshape(()))
        factor = factor if op.kind == "Mul" else 1.0 / factor
        return scores.changed(scale=scores.scale * factor,
                              biases=tuple(bias * factor for bias in scores.biases))
    rank = len(scores.view.axes)
    if array.ndim > rank and any(side != 1 for side in array.shape[:array.ndim - rank]):
        op.fail("adds shape {} to the scores of attention".format(array.shape))
    array = array.reshape(((1,) * rank + array.shape)[-rank:])
    for axis, atoms in enumerate(scores.view.axes):
        is_batch = len(atoms) == 1 and atoms[0].letter == "b"
        if is_batch and array.shape[axis] != 1 and array.strides[axis] == 0:
            array = array[(slice(None),) * axis + (slice(0, 1),)]
    if not np.any(array):
        return scores
    return scores.changed(biases=scores.biases + (array if op.kind == "Add" else -array,))


# The third tensor

def _attended(op, net, scores, value):
    if not scores.is_softmax:
        op.fail("multiplies scores without a softmax, which is not supported")
    if len(value.axes) != len(scores.view.axes):
        op.fail("multiplies scores of shape {} by {}".format(scores.view.shape, value.shape))
    query, scale = _without_factor(scores.query)
    key, factor = _without_factor(scores.key)
    scale *= factor * scores.scale
    if scale <= 0.0:
        op.fail("its scale is {:g}".format(scale))
    parts = (Part(op, net, query), Part(op, net, _turned(key)), Part(op, net, value))
    heads = size_of(parts[0].heads)
    if any(size_of(part.heads) != heads or size_of(part.width) != size_of(parts[0].width)
           for part in parts):
        op.fail("is attention whose query, key and value differ in their heads or widths")
    attributes = {"heads": heads, "scale": scale}
    if parts[0].windows:
        return windowed(op, net, scores, parts, attributes)
    bias = _bias(op, scores, parts[0])
    if bias is not None:
        attributes["value"] = bias
    packed = _packed(net, parts)
    items = [packed] if packed is not None else [part.arranged(net) for part in parts]
    tokens = size_of(parts[0].tokens)
    item = net.emit("attention", items, attributes, (tokens, 1, heads * size_of(parts[0].width)))
    return parts[0].result(item)


def _without_factor(value):
    root, a, b = affine_of(value.item)
    return (value.with_item(root), a) if b == 0.0 else (value, 1.0)


def _turned(value):
    return value.with_axes(value.axes[:-2] + (value.axes[-1], value.axes[-2]))


def _packed(net, parts):
    source = packed_source(parts)
    if source is None:
        return None
    tokens = source.shape[0] * source.shape[1]
    return net.reshaped(source, (tokens, 1, source.shape[2]), tokens=True)


def _bias(op, scores, query):
    """The sum of what was added to the scores, (heads, tokens, tokens); None where it is nothing."""
    if not scores.biases:
        return None
    total = 0.0
    for bias in scores.biases:
        atoms, sizes = atoms_of_bias(op, bias, scores.view)
        places = dict((id(atom), i) for i, atom in enumerate(atoms))
        heads = [places[id(atom)] for atom in query.heads]
        rest = [i for i in range(len(atoms)) if i not in heads]
        total = total + bias.reshape(sizes).transpose(heads + rest)
    shape = (size_of(query.heads), size_of(query.tokens), size_of(scores.view.axes[-1]))
    wanted = [atom.size for atom in query.heads] + [
        atom.size for axis in scores.view.axes[-2:] for atom in axis]
    return Stored.of(np.broadcast_to(total, wanted).reshape(shape))


def attention(op, net):
    """The operator of that name, from version 23 on, without a past or a mask that varies."""
    query, key, value = (op.value(index) for index in range(3))
    for index in (4, 5):
        if op.has(index):
            op.fail("has a past, which is not supported")
    if op.attribute("is_causal", 0) or op.attribute("softcap", 0.0):
        op.fail("is causal or has a cap, which is not supported")
    if len(query.axes) == 3:
        heads = [op.attribute("q_num_heads"), op.attribute("kv_num_heads")]
        query, key, value = (_with_heads(op, net, part, count) for part, count in (
            (query, heads[0]), (key, heads[1]), (value, heads[1])))
        merged = True
    else:
        merged = False
    width = query.shape[-1]
    scale = op.attribute("scale", 0.0) or 1.0 / float(width) ** 0.5
    view = Value(None, {"h": (), "w": (), "c": ()}, query.axes[:-1] + (key.axes[-2],))
    scores = Scores(query, _turned(key), view, scale, (), True)
    if op.has(3):
        mask = op.known(3, "its mask").array()
        if mask.dtype == np.bool_:
            op.fail("has a mask of true and false, which is not supported")
        scores = scores.changed(biases=(mask.reshape(((1,) * 4 + mask.shape)[-4:]),))
    result = _attended(op, net, scores, value)
    if not merged:
        return result
    b, h, n, d = result.shape
    result = result.with_axes([result.axes[axis] for axis in (0, 2, 1, 3)])
    return net.reshape(result, [b, n, h * d])


def _with_heads(op, net, value, heads):
    b, n, width = value.shape
    if not isinstance(heads, int) or heads < 1 or width % heads:
        op.fail("has {!r} heads for a width of {}".format(heads, width))
    value = net.reshape(value, [b, n, heads, width // heads])
    return value.with_axes([value.axes[axis] for axis in (0, 2, 1, 3)])
