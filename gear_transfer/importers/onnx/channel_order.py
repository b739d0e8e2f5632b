"""Channels in another order, made so by the layer that makes them where that costs nothing."""
import numpy as np

from .arrays import Stored

_VECTORS = {"bias": ("bias",), "scale": ("gamma",), "batch_norm": ("gamma", "beta", "mean", "variance")}
_LONGEST_CHAIN = 8


def _ordered(stored, places):
    return Stored(stored.shape, lambda: np.take(stored.read(), places, axis=-1))


def with_channel_order(net, item, places):
    """An item whose channel i is channel ``places[i]`` of `item`; None where it must be moved.

    The weights of the convolution or fully connected layer before it take the order.
    """
    chain = []
    while item.op in _VECTORS and len(chain) < _LONGEST_CHAIN:
        chain.append(item)
        item = item.inputs[0]
    if item.op not in ("conv2d", "dense") or item.attributes.get("groups", 1) != 1:
        return None
    made = _with_arrays(net, item, item.inputs, ("kernel", "bias"), places)
    for other in reversed(chain):
        made = _with_arrays(net, other, [made], _VECTORS[other.op], places)
    return made


def _with_arrays(net, item, inputs, keys, places):
    attributes = dict(item.attributes)
    for key in keys:
        if key in attributes:
            attributes[key] = _ordered(attributes[key], places)
    return net.emit(item.op, inputs, attributes, item.shape)
