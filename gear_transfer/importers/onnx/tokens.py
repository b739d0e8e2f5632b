"""Position embeddings, told from other constants that are added."""
import numpy as np

from .arrays import Stored

_POINTWISE = ("bias", "scale", "layer_norm", "batch_norm", "affine")


def _is_patches(item):
    """Whether an item is a map of patches: what a convolution makes whose steps are its size."""
    while item.op in _POINTWISE:
        item = item.inputs[0]
    if item.op != "conv2d":
        return False
    sides = list(item.attributes["kernel"].shape[:2])
    return sides == item.attributes["strides"] and sides != [1, 1]


def _map_before(item):
    """The map of patches that an item shows as rows, or None."""
    if item.op == "reshape" and item.shape[1] == 1 and _is_patches(item.inputs[0]):
        return item.inputs[0]
    return None


def _embedded(net, item, value):
    return net.emit("position_embedding", [item], {"value": Stored.of(value)}, item.shape)


def position_embedding(net, value, placed):
    """`value` with an embedding of positions added, which other sizes of image resample.

    Parameters
    ----------
    net : Builder
    value : Value
    placed : ndarray
        The constant, in the order of the item of `value`.

    Returns
    -------
    Value or None
        None where the constant is something else.
    """
    item = value.item
    if tuple(placed.shape) != tuple(item.shape) or item.shape[0] * item.shape[1] == 1:
        return None
    if _is_patches(item):
        return value.with_item(_embedded(net, item, placed))
    source = _map_before(item)
    if source is not None:
        embedded = _embedded(net, source, placed.reshape(source.shape))
        return value.with_item(net.reshaped(embedded, item.shape, tokens=True))
    if item.op == "concat" and item.attributes.get("axis") == "height" and item.shape[1] == 1:
        return _with_class_tokens(net, value, placed)
    return None


def _with_class_tokens(net, value, placed):
    """Rows of patches and tokens that the network has learned, joined."""
    kinds = [part.op == "constant" or _map_before(part) is not None for part in value.item.inputs]
    if not all(kinds):
        return None
    parts, place = [], 0
    for part in value.item.inputs:
        own = placed[place:place + part.shape[0]]
        place += part.shape[0]
        if part.op == "constant":
            parts.append(net.constant(part.attributes["value"].read() + own.astype(np.float32)))
            continue
        source = _map_before(part)
        embedded = _embedded(net, source, own.reshape(source.shape))
        parts.append(net.reshaped(embedded, part.shape, tokens=True))
    return value.with_item(net.emit("concat", parts, {"axis": "height"}, value.item.shape))
