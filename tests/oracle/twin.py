"""A network in plain NumPy, in float64: what the core's features are compared with.

Nodes are those of `gear_transfer.importers.network`; every operation is a loop over the taps of its
window, as its definition reads.
"""
import numpy as np


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


def pool(node, x, arrays):
    size, strides = node.attributes["pool_size"], node.attributes["strides"]
    padding = window_padding(node, x.shape[1:3], size, strides, [1, 1])
    if node.op == "max_pool":
        taps = [pixels for _, pixels in windows(x, size, strides, [1, 1], padding, -np.inf)]
        return np.max(taps, axis=0)
    total = sum(pixels for _, pixels in windows(x, size, strides, [1, 1], padding, 0.0))
    if node.attributes.get("count_include_padding", False):
        return total / (size[0] * size[1])
    ones = np.ones_like(x[:1, :, :, :1])
    return total / sum(pixels for _, pixels in windows(ones, size, strides, [1, 1], padding, 0.0))


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


OPERATIONS = {
    "conv2d": conv2d,
    "batch_norm": batch_norm,
    "bias": lambda node, x, arrays: x + arrays[node.attributes["bias"]],
    "relu": lambda node, x, arrays: np.clip(x, 0.0, node.attributes.get("max_value", np.inf)),
    "max_pool": pool,
    "average_pool": pool,
    "global_average_pool": lambda node, x, arrays: x.mean(axis=(1, 2), keepdims=True),
    "global_max_pool": lambda node, x, arrays: x.max(axis=(1, 2), keepdims=True),
    "flatten": lambda node, x, arrays: x.reshape(len(x), 1, 1, -1),
    "dense": lambda node, x, arrays: (x @ arrays[node.attributes["kernel"]].astype(np.float64) +
                                      arrays.get(node.attributes.get("bias"), 0.0)),
    "softmax": lambda node, x, arrays: softmax(x),
}


def pixels(images, preprocessing):
    """What the network sees of images, ndarray of float64 of their shape."""
    if preprocessing.get("channels") == "bgr":
        images = images[..., ::-1]
    return images * np.array(preprocessing["scale"]) + np.array(preprocessing["offset"])


def run(network, images):
    """The result of every node, a dict of ndarray of float64 (n, height, width, channels).

    Parameters
    ----------
    network : Network
    images : ndarray of uint8, shape (n, height, width, channels)
    """
    results = {}
    for node in network.nodes:
        inputs = [results[name] for name in node.inputs]
        if node.op == "input":
            result = pixels(images, network.preprocessing)
        elif node.op == "concat":
            result = np.concatenate(inputs, axis=-1)
        elif node.op == "add":
            result = sum(inputs)
        else:
            result = OPERATIONS[node.op](node, inputs[0], network.arrays)
        results[node.name] = result
    return results
