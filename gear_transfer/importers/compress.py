"""Kernels in 8 or 16 bits, rounded so that the layers' results stay what they were."""
import collections

import numpy as np

from .network import ChannelQuantizedArray

#: Kernels of at most so many numbers have 16 bits: they take little room, and the first layers of
#: a network, which lose most by rounding, are among them.
MOST_IN_16_BITS = 1 << 16

_LEVELS = 255

#: Mean and variance of each channel of a layer's result, ndarrays of float64 (channels,).
_Moments = collections.namedtuple("_Moments", ["mean", "variance"])

# Places and weights of a normal distribution, for the moments of what a ReLU leaves of it.
_PLACES = np.linspace(-5, 5, 401)
_WEIGHTS = np.exp(-_PLACES ** 2 / 2) / np.exp(-_PLACES ** 2 / 2).sum()


def compress(network):
    """A network's arrays with kernels in 8 or 16 bits.

    Kernels of grouped convolutions, those that read the images and small ones
    become float16, the others bytes with a scale for each channel out; what is
    no kernel, or is in bytes already, stays as it is. No photographs are
    needed: what a layer reads is known from the batch normalisation before it
    (M. Nagel et al., "Data-free quantization through weight equalization and
    bias correction", ICCV 2019).

    Parameters
    ----------
    network : Network

    Returns
    -------
    OrderedDict of str to array
    """
    moments = _moments(network)
    arrays = collections.OrderedDict(network.arrays)
    for node in network.nodes:
        name = node.attributes.get("kernel")
        if node.op not in ("conv2d", "dense") or not isinstance(network.arrays[name], np.ndarray):
            continue
        kernel = network.arrays[name]
        reads_images = node.inputs[0] == network.nodes[0].name
        if kernel.size <= MOST_IN_16_BITS or reads_images or node.attributes.get("groups", 1) > 1:
            if np.abs(kernel).max() <= np.finfo(np.float16).max:
                arrays[name] = kernel.astype(np.float16)
        else:
            arrays[name] = diffuse(kernel, moments[node.inputs[0]])
    return arrays


def diffuse(kernel, moments=None):
    """A kernel as bytes, the errors of rounding spread so that they cancel out.

    Channels in are rounded one after the other. What those before have added
    to the mean of the result is made up for by the rest, each in proportion to
    its mean and against its variance: the choice that keeps the expected square
    of the result's error least, were the rest not rounded (E. Frantar et al.,
    "GPTQ", ICLR 2023, for inputs that are independent).

    Parameters
    ----------
    kernel : ndarray of float32, shape (..., channels in, channels out)
    moments : (mean, variance), optional
        Of the channels in; without, each number is rounded by itself.

    Returns
    -------
    ChannelQuantizedArray
    """
    rows = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    minimum = rows.min(axis=0).astype(np.float32)
    scale = (rows.max(axis=0) - minimum) / _LEVELS
    scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1.0).astype(np.float32)
    if moments is None:
        mean, variance = np.zeros(len(rows)), np.ones(len(rows))
    else:
        taps = len(rows) // kernel.shape[-2]
        mean, variance = np.tile(moments[0], taps), np.tile(moments[1], taps)
    variance = variance + 1e-4 * variance.mean() + np.finfo(np.float32).tiny
    order = np.argsort(-(variance + mean ** 2), kind="mergesort")
    pull = mean ** 2 / variance
    left = 1 + np.cumsum(pull[order][::-1])[::-1]
    shifted = np.zeros(rows.shape[1])
    levels = np.empty(rows.shape, np.uint8)
    for i, rest in zip(order, left):
        wanted = rows[i] - shifted * (mean[i] / variance[i] / rest)
        levels[i] = np.clip(np.rint((wanted - minimum) / scale), 0, _LEVELS)
        shifted += mean[i] * (levels[i] * scale.astype(np.float64) + minimum - rows[i])
    return ChannelQuantizedArray(levels.reshape(kernel.shape), scale, minimum)


def _moments(network):
    """_Moments of each node's result by name, None where nothing is known of it."""
    moments = {}
    for node in network.nodes:
        known = [moments[name] for name in node.inputs]
        moments[node.name] = None
        if node.op in ("batch_norm", "layer_norm", "group_norm"):
            moments[node.name] = _normalised(node, network.arrays)
        elif known and all(each is not None for each in known):
            moments[node.name] = _passed_on(node, known, network.arrays)
    return moments


def _normalised(node, arrays):
    gamma, beta = [_values(arrays, node.attributes.get(role)) for role in ("gamma", "beta")]
    known = [arrays[node.attributes[role]].shape for role in ("mean", "gamma", "beta")
             if role in node.attributes]
    if not known:
        return None
    channels = known[0]
    return _Moments(np.zeros(channels) if beta is None else beta,
                    np.ones(channels) if gamma is None else gamma ** 2)


def _values(arrays, name):
    array = arrays.get(name)
    if array is None:
        return None
    is_plain = isinstance(array, np.ndarray)
    return (array if is_plain else array.dequantize()).astype(np.float64)


def _hard_sigmoid(x, alpha, beta):
    return np.clip(alpha * x + beta, 0.0, 1.0)


def _softplus(x):
    return np.logaddexp(0.0, x)


#: Functions of (x, alpha, beta); those of which the moments are not worth the words are missing.
_FUNCTIONS = {
    "leaky_relu": lambda x, alpha, beta: np.where(x > 0, x, alpha * x),
    "elu": lambda x, alpha, beta: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x, alpha, beta: x / (1 + np.exp(-np.clip(1.702 * x, -80, 80))),
    "gelu_tanh": lambda x, alpha, beta: x / (1 + np.exp(-np.clip(1.702 * x, -80, 80))),
    "silu": lambda x, alpha, beta: x * np.exp(-_softplus(-x)),
    "hard_swish": lambda x, alpha, beta: x * _hard_sigmoid(x, alpha, beta),
    "hard_sigmoid": _hard_sigmoid,
    "sigmoid": lambda x, alpha, beta: np.exp(-_softplus(-x)),
    "tanh": lambda x, alpha, beta: np.tanh(x),
    "mish": lambda x, alpha, beta: x * np.tanh(_softplus(x)),
}


def _activated(node, known, arrays):
    """The moments of a function of normal numbers."""
    values = (known.mean[:, np.newaxis] + np.sqrt(known.variance)[:, np.newaxis] * _PLACES)
    if node.op == "prelu":
        values = np.where(values > 0, values, values * _values(
            arrays, node.attributes["alpha"])[:, np.newaxis])
    elif node.op == "activation":
        function, hard = node.attributes["function"], node.attributes["function"].startswith("hard")
        if function not in _FUNCTIONS:
            return None
        alpha = 1 / 6 if hard else 0.01 if function == "leaky_relu" else 1.0
        values = _FUNCTIONS[function](values, node.attributes.get("alpha", alpha),
                                      node.attributes.get("beta", 0.5))
    else:
        low = 0 if node.op == "relu" else node.attributes.get("min_value", -np.inf)
        values = np.clip(values, low, node.attributes.get("max_value", np.inf))
    mean = (values * _WEIGHTS).sum(axis=1)
    return _Moments(mean, ((values - mean[:, np.newaxis]) ** 2 * _WEIGHTS).sum(axis=1))


def _passed_on(node, known, arrays):
    """What a layer makes of the moments of its inputs, which count as independent."""
    axis = node.attributes.get("axis", "channels")
    if node.op in ("relu", "clip", "activation", "prelu"):
        return _activated(node, known[0], arrays)
    if node.op == "add":
        return _Moments(*[sum(each) for each in zip(*known)])
    if node.op == "scale":
        gamma = _values(arrays, node.attributes["gamma"])
        return _Moments(known[0].mean * gamma, known[0].variance * gamma ** 2)
    if node.op == "concat" and axis == "channels":
        return _Moments(*[np.concatenate(each) for each in zip(*known)])
    if node.op in ("max_pool", "average_pool", "global_average_pool", "global_max_pool", "crop",
                   "resize") or (node.op == "slice" and axis != "channels"):
        return known[0]
    if node.op == "slice":
        places = slice(node.attributes["start"], node.attributes.get("stop"),
                       node.attributes.get("step", 1))
        return _Moments(*[each[places] for each in known[0]])
    if node.op == "channel_shuffle":
        return _Moments(*[each.reshape(node.attributes["groups"], -1).T.ravel()
                          for each in known[0]])
    return None
