"""Attention within windows of a map, and maps that are rolled before and after it (Swin).

A roll is an item of its own until the end: operations on each pixel by itself may as well come
before it, so that the roll before an attention and the one after it become its `shift`.
"""
import numpy as np

from .arrays import Stored
from .attention_parts import atoms_of_bias, packed_source
from .values import Atom, Value, size_of

_POINTWISE = ("bias", "scale", "layer_norm", "batch_norm", "affine", "activation", "relu", "clip",
              "prelu")
_LONGEST_CHAIN = 64
#: A mask below this leaves nothing after a softmax.
_HIDDEN = -50.0


def rolled_pieces(items, axis):
    """(source, shift) where two items, joined, are another one rolled along that axis; else None."""
    if len(items) != 2 or axis not in ("height", "width") or any(
            item.op != "slice" or item.attributes["axis"] != axis
            or item.attributes.get("step", 1) != 1 for item in items):
        return None
    back, front = items
    source = back.inputs[0]
    extent = source.shape[("height", "width").index(axis)]
    shift = back.attributes["start"] % extent
    if (front.inputs[0] is not source or "stop" in back.attributes or front.attributes["start"] != 0
            or front.attributes.get("stop", extent) % extent != shift or shift == 0):
        return None
    return source, shift


def _is_pointwise(item):
    if item.op == "conv2d":
        return (item.attributes["kernel"].shape[:2] == (1, 1) and item.attributes["strides"] == [1, 1]
                and item.attributes["padding"] in ([0, 0, 0, 0], "same", "valid"))
    return item.op in _POINTWISE


def unrolled(net, item, axis):
    """(other, shift) such that `item` is `other` rolled by `shift` along an axis; else None."""
    chain = []
    while item.op != "roll" or item.attributes["axis"] != axis:
        if len(chain) == _LONGEST_CHAIN or not (item.op == "roll" or _is_pointwise(item)):
            return None
        chain.append(item)
        item = item.inputs[0]
    shift, item = item.attributes["shift"], item.inputs[0]
    for other in reversed(chain):
        item = net.emit(other.op, [item], other.attributes, other.shape)
    return item, shift


def roll(net, item, axis, shift):
    """An item rolled towards the front by a number of pixels, together with rolls before it."""
    extent = item.shape[("height", "width").index(axis)]
    before = unrolled(net, item, axis)
    if before is not None:
        item, shift = before[0], (shift + before[1]) % extent
    if shift == 0:
        return item
    return net.emit("roll", [item], {"axis": axis, "shift": shift}, item.shape)


def windowed(op, net, scores, parts, attributes):
    """Attention within windows, of one product that has query, key and value."""
    source = packed_source(parts)
    query = parts[0].value
    if source is None:
        op.fail("is attention within windows whose query, key and value are not one product")
    places = [[[atom for atom in atoms if any(atom is own for own in query.base[letter])]
               for letter in "hw"] for atoms in (parts[0].windows, parts[0].tokens)]
    windows, tokens = places
    if sum(windows, []) != list(parts[0].windows) or sum(tokens, []) != list(parts[0].tokens):
        op.fail("is attention within windows that are not rectangles of a map")
    packed = Value(source, dict(query.base, c=(Atom("c", 3),) + query.base["c"]), ())
    packed = net.settled(packed, windows[0] + tokens[0], windows[1] + tokens[1], packed.base["c"])
    window = [size_of(tokens[0]), size_of(tokens[1])]
    attributes["window"] = window
    bias, mask = _split_biases(op, scores, parts[0])
    if bias is not None:
        attributes["value"] = Stored.of(bias)
    source, shift = _shifted(op, net, packed.item, window, mask)
    if any(shift):
        attributes["shift"] = shift
    shape = tuple(source.shape[:2]) + (source.shape[2] // 3,)
    item = net.emit("attention", [source], attributes, shape)
    for axis, amount in zip(("height", "width"), shift):
        if amount:
            item = roll(net, item, axis, amount)
    return _result(query, item, windows, tokens)


def _result(query, item, windows, tokens):
    """The value of an item whose map is made of whole windows, with the axes of the query."""
    exchange = dict((id(atom), Atom(letter, atom.size)) for letter, atoms in (
        ("h", windows[0] + tokens[0]), ("w", windows[1] + tokens[1]), ("c", query.base["c"]))
        for atom in atoms)
    base = {"h": tuple(exchange[id(atom)] for atom in windows[0] + tokens[0]),
            "w": tuple(exchange[id(atom)] for atom in windows[1] + tokens[1]),
            "c": tuple(exchange[id(atom)] for atom in query.base["c"])}
    return Value(item, base, [tuple(exchange.get(id(atom), atom) for atom in axis)
                              for axis in query.axes])


def _split_biases(op, scores, query):
    """What is added in all windows (heads, n, n), and what differs between them (windows, n, n)."""
    tokens = size_of(query.tokens)
    heads, count = size_of(query.heads), size_of(query.windows)
    bias, mask = None, None
    for array in scores.biases:
        atoms, sizes = atoms_of_bias(op, array, scores.view)
        places = dict((id(atom), i) for i, atom in enumerate(atoms))
        lead = [places[id(atom)] for atom in query.windows + query.heads]
        rest = [i for i in range(len(atoms)) if i not in lead]
        array = array.reshape(sizes).transpose(lead + rest)
        varies = any(side != 1 for side in array.shape[:len(query.windows)])
        wanted = [atom.size for atom in query.windows + query.heads]
        full = np.broadcast_to(array, wanted + [atom.size for axis in scores.view.axes[-2:]
                                                for atom in axis])
        full = full.reshape(count, heads, tokens, tokens)
        if not varies:
            bias = full[0] + (0.0 if bias is None else bias)
        elif np.array_equal(full[:, :1].repeat(heads, 1), full):
            mask = full[:, 0] + (0.0 if mask is None else mask)
        else:
            op.fail("adds a bias that differs between windows and heads")
    return bias, mask


def swin_labels(height, width, window, shift):
    """For each pixel of each window of a rolled map, which part of the map it comes from.

    Returns
    -------
    ndarray of int, shape (windows, pixels)
    """
    labels = np.zeros((height, width), np.int64)
    for axis, (size, side, move) in enumerate(zip((height, width), window, shift)):
        place = np.arange(size)
        part = (place >= size - side).astype(np.int64) + (place >= size - move)
        labels = labels * 3 + (part[:, None] if axis == 0 else part[None, :])
    labels = labels.reshape(height // window[0], window[0], width // window[1], window[1])
    return labels.transpose(0, 2, 1, 3).reshape(-1, window[0] * window[1])


def _shifted(op, net, source, window, mask):
    """The item before it was rolled and by how much, where the mask says so."""
    if mask is None:
        return source, [0, 0]
    shift = []
    for axis in ("height", "width"):
        before = unrolled(net, source, axis)
        shift.append(0 if before is None else before[1])
        source = source if before is None else before[0]
    labels = swin_labels(source.shape[0], source.shape[1], window, shift)
    apart = labels[:, :, None] != labels[:, None, :]
    if not (np.all(mask[~apart] == 0.0) and np.all(mask[apart] < _HIDDEN)):
        op.fail("has a mask that is not that of windows of a map rolled by {}".format(shift))
    return source, shift
