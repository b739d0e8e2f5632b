"""A network in plain NumPy, in float64: what the core's features are compared with.

Nodes are those of `gear_transfer.importers.network`; every operation is a loop over the taps of its
window, as its definition reads.
"""
import math
import os
import sys

import numpy as np

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]

import tokens  # noqa: E402


def same_padding(extent, size, stride, dilation):
    """Pixels before and after, as TensorFlow pads: one more after where they are odd."""
    reach = (size - 1) * dilation + 1
    missing = max((-(-extent // stride) - 1) * stride + reach - extent, 0)
    return missing // 2, missing - missing // 2


def window_padding(node, shape, size, strides, dilations):
    """((top, bottom), (left, right)) of a window over a map of that (height, width)."""
    padding = node.attributes["padding"]
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        return tuple(same_padding(*axis) for axis in zip(shape, size, strides, dilations))
    top, left, bottom, right = padding
    return (top, bottom), (left, right)


def windows(x, size, strides, dilations, padding, fill):
    """For each tap of a window, the pixels that it meets: pairs ((y, x), map)."""
    padded = np.pad(x, ((0, 0),) + padding + ((0, 0),), "constant", constant_values=fill)
    counts = [(padded.shape[1 + axis] - (size[axis] - 1) * dilations[axis] - 1) // strides[axis] + 1
              for axis in range(2)]
    for y in range(size[0]):
        for left in range(size[1]):
            top, first = y * dilations[0], left * dilations[1]
            yield (y, left), padded[:, top:top + (counts[0] - 1) * strides[0] + 1:strides[0],
                                    first:first + (counts[1] - 1) * strides[1] + 1:strides[1]]


def conv2d(node, x, arrays):
    kernel = arrays[node.attributes["kernel"]].astype(np.float64)
    strides = node.attributes["strides"]
    dilations = node.attributes.get("dilations", [1, 1])
    groups = node.attributes.get("groups", 1)
    size = kernel.shape[:2]
    padding = window_padding(node, x.shape[1:3], size, strides, dilations)
    into, out = kernel.shape[2], kernel.shape[3] // groups
    result = 0.0
    for (y, left), pixels in windows(x, size, strides, dilations, padding, 0.0):
        parts = [pixels[..., g * into:(g + 1) * into] @ kernel[y, left, :, g * out:(g + 1) * out]
                 for g in range(groups)]
        result = result + np.concatenate(parts, axis=-1)
    if "bias" in node.attributes:
        result = result + arrays[node.attributes["bias"]]
    return result


def batch_norm(node, x, arrays):
    def array(role, otherwise):
        name = node.attributes.get(role)
        return otherwise if name is None else arrays[name].astype(np.float64)

    deviation = np.sqrt(array("variance", None) + node.attributes["epsilon"])
    return (x - array("mean", None)) / deviation * array("gamma", 1.0) + array("beta", 0.0)


def beyond(node, shape, size, strides, padding):
    """Pixels behind the padding that a last window reaches, ((0, below), (0, right))."""
    result = []
    for axis in range(2):
        extent, (before, after) = shape[axis], padding[axis]
        count = -(-(extent + before + after - size[axis]) // strides[axis]) + 1
        if (count - 1) * strides[axis] >= extent + before:
            count -= 1  # it would begin in the padding
        end = (count - 1) * strides[axis] + size[axis]
        result.append((0, max(end - (extent + before + after), 0)
                       if node.attributes.get("ceil_mode") else 0))
    return tuple(result)


def pool(node, x, arrays):
    size, strides = node.attributes["pool_size"], node.attributes["strides"]
    padding = window_padding(node, x.shape[1:3], size, strides, [1, 1])
    rest = beyond(node, x.shape[1:3], size, strides, padding)
    ones = np.ones_like(x[:1, :, :, :1])
    if node.attributes.get("count_include_padding", False):
        ones = np.pad(ones, ((0, 0),) + padding + ((0, 0),), "constant", constant_values=1.0)
        ones = np.pad(ones, ((0, 0),) + rest + ((0, 0),), "constant")
        count_padding = ((0, 0), (0, 0))
    padding = tuple((before, after + more) for (before, after), (_, more) in zip(padding, rest))
    if not node.attributes.get("count_include_padding", False):
        count_padding = padding
    if node.op == "max_pool":
        taps = [pixels for _, pixels in windows(x, size, strides, [1, 1], padding, -np.inf)]
        return np.max(taps, axis=0)
    total = sum(pixels for _, pixels in windows(x, size, strides, [1, 1], padding, 0.0))
    return total / sum(pixels for _, pixels in windows(ones, size, strides, [1, 1], count_padding,
                                                       0.0))


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softplus(x):
    return np.logaddexp(0.0, x)


def erf(x):
    return np.vectorize(math.erf)(x) if x.size else x


def activation(node, x, arrays):
    """The definitions of the functions of one number."""
    function = node.attributes["function"]
    hard = function in ("hard_sigmoid", "hard_swish")
    alpha = node.attributes.get("alpha", 1.0 / 6.0 if hard else 0.01 if function == "leaky_relu" else 1.0)
    beta = node.attributes.get("beta", 0.5)
    below = np.minimum(x, 0.0)
    return {
        "leaky_relu": lambda: np.where(x > 0.0, x, alpha * x),
        "elu": lambda: np.where(x > 0.0, x, alpha * np.expm1(below)),
        "selu": lambda: 1.0507009873554805 * np.where(x > 0.0, x,
                                                      1.6732632423543772 * np.expm1(below)),
        "gelu": lambda: 0.5 * x * (1.0 + erf(x / np.sqrt(2.0))),
        "gelu_tanh": lambda: 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi)
                                                      * (x + 0.044715 * x ** 3))),
        "silu": lambda: x * np.exp(-softplus(-x)),
        "hard_swish": lambda: x * np.clip(alpha * x + beta, 0.0, 1.0),
        "hard_sigmoid": lambda: np.clip(alpha * x + beta, 0.0, 1.0),
        "sigmoid": lambda: np.exp(-softplus(-x)),
        "tanh": lambda: np.tanh(x),
        "softplus": lambda: softplus(x),
        "softsign": lambda: x / (1.0 + np.abs(x)),
        "mish": lambda: x * np.tanh(softplus(x)),
        "exp": lambda: np.exp(x),
        "abs": lambda: np.abs(x),
        "sqrt": lambda: np.sqrt(x),
        "square": lambda: x ** 2,
    }[function]()


def clip(node, x, arrays):
    return np.clip(x, node.attributes.get("min_value", -np.inf),
                   node.attributes.get("max_value", np.inf))


def array_of(node, role, arrays):
    return arrays[node.attributes[role]].astype(np.float64)


AXES = {"height": 1, "width": 2, "channels": 3}


def pad(node, x, arrays):
    top, left, bottom, right = node.attributes["padding"]
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), "constant",
                  constant_values=node.attributes.get("value", 0.0))


def crop(node, x, arrays):
    top, left, bottom, right = node.attributes["cropping"]
    return x[:, top:x.shape[1] - bottom, left:x.shape[2] - right]


def cut(node, x, arrays):
    index = [slice(None)] * 4
    index[AXES[node.attributes["axis"]]] = slice(node.attributes["start"],
                                                 node.attributes.get("stop"),
                                                 node.attributes.get("step", 1))
    return x[tuple(index)]


def channel_shuffle(node, x, arrays):
    groups = node.attributes["groups"]
    parts = x.reshape(x.shape[:3] + (groups, x.shape[3] // groups))
    return parts.swapaxes(3, 4).reshape(x.shape)


def local_response_norm(node, x, arrays):
    size, channels = node.attributes["size"], x.shape[-1]
    sums = np.zeros_like(x)
    for c in range(channels):
        around = x[..., max(c - (size - 1) // 2, 0):c + size // 2 + 1]
        sums[..., c] = (around ** 2).sum(axis=-1)
    base = node.attributes["bias"] + node.attributes["alpha"] / size * sums
    return x / base ** node.attributes["beta"]


def reduce(node, x, arrays):
    axis = (1, 2) if node.attributes["axis"] == "map" else 3
    return {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min,
            "l2": lambda x, axis, keepdims: np.sqrt((x ** 2).sum(axis=axis, keepdims=keepdims))}[
                node.attributes["function"]](x, axis=axis, keepdims=True)


def resize(node, x, arrays):
    """One axis after the other."""
    for axis, factor in enumerate(node.attributes["factors"], 1):
        extent = x.shape[axis]
        places = np.arange(extent * factor)
        if node.attributes["mode"] == "nearest":
            x = x.take(places // factor, axis=axis)
            continue
        at = {"half_pixel": (places + 0.5) / factor - 0.5, "asymmetric": places / float(factor),
              "align_corners": places * (extent - 1.0) / max(len(places) - 1, 1)}[
                  node.attributes.get("coordinates", "half_pixel")]
        at = np.clip(at, 0.0, extent - 1.0)
        first = at.astype(int)
        second = np.minimum(first + 1, extent - 1)
        share = (at - first).reshape([-1 if k == axis else 1 for k in range(4)])
        x = x.take(first, axis=axis) * (1.0 - share) + x.take(second, axis=axis) * share
    return x


def flatten(node, x, arrays):
    x = x.transpose(0, 3, 1, 2) if node.attributes.get("channels_first") else x
    return x.reshape(len(x), 1, 1, -1)


#: Of two maps, of which one may be repeated along axes of the other.
BINARY = {"multiply": np.multiply, "subtract": np.subtract, "divide": np.divide,
          "maximum": np.maximum, "minimum": np.minimum}

OPERATIONS = {
    "conv2d": conv2d,
    "batch_norm": batch_norm,
    "bias": lambda node, x, arrays: x + arrays[node.attributes["bias"]],
    "relu": lambda node, x, arrays: np.clip(x, 0.0, node.attributes.get("max_value", np.inf)),
    "max_pool": pool,
    "average_pool": pool,
    "global_average_pool": lambda node, x, arrays: x.mean(axis=(1, 2), keepdims=True),
    "global_max_pool": lambda node, x, arrays: x.max(axis=(1, 2), keepdims=True),
    "flatten": flatten,
    "dense": lambda node, x, arrays: (x @ arrays[node.attributes["kernel"]].astype(np.float64) +
                                      arrays.get(node.attributes.get("bias"), 0.0)),
    "softmax": lambda node, x, arrays: softmax(x),
    "activation": activation,
    "clip": clip,
    "prelu": lambda node, x, arrays: np.where(x > 0.0, x, x * array_of(node, "alpha", arrays)),
    "scale": lambda node, x, arrays: x * array_of(node, "gamma", arrays),
    "pad": pad,
    "crop": crop,
    "slice": cut,
    "channel_shuffle": channel_shuffle,
    "local_response_norm": local_response_norm,
    "reduce": reduce,
    "resize": resize,
    "reshape": lambda node, x, arrays: x.reshape([len(x)] + list(node.attributes["shape"])),
    "transpose": lambda node, x, arrays: x.transpose(
        [0] + [1 + axis for axis in node.attributes["axes"]]),
    "layer_norm": tokens.layer_norm,
    "group_norm": tokens.group_norm,
    "position_embedding": tokens.position_embedding,
}


def pixels(images, preprocessing):
    """What the network sees of images, ndarray of float64 of their shape."""
    if preprocessing.get("channels") == "bgr":
        images = images[..., ::-1]
    return images * np.array(preprocessing["scale"]) + np.array(preprocessing["offset"])


def to_bf16(x):
    """The nearest numbers of eight bits."""
    fractions, exponents = np.frexp(x)
    return np.ldexp(np.rint(fractions * 256.0) / 256.0, exponents)


def run(network, images, rounded=False):
    """The result of every node, a dict of ndarray of float64 (n, height, width, channels).

    Parameters
    ----------
    network : Network
    images : ndarray of uint8, shape (n, height, width, channels)
    rounded : bool
        Whether every result is rounded to bfloat16, which shows how far a network amplifies that.
    """
    results = {}
    for node in network.nodes:
        inputs = [results[name] for name in node.inputs]
        if node.op == "input":
            result = pixels(images, network.preprocessing)
        elif node.op == "concat":
            result = np.concatenate(inputs, axis=AXES[node.attributes.get("axis", "channels")])
        elif node.op in BINARY:
            result = BINARY[node.op](*inputs)
        elif node.op == "constant":
            result = np.stack([array_of(node, "value", network.arrays)] * len(images))
        elif node.op == "add":
            result = sum(inputs)
        elif node.op == "attention":
            result = tokens.attention(node, inputs, network.arrays)
        else:
            result = OPERATIONS[node.op](node, inputs[0], network.arrays)
        results[node.name] = to_bf16(result) if rounded else result
    return results
