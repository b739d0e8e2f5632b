"""The operations on tokens in plain NumPy, in float64, and random uses of them."""
import numpy as np


def _array(node, arrays, role, otherwise):
    name = node.attributes.get(role)
    return otherwise if name is None else arrays[name].astype(np.float64)


def _normalise(node, x, arrays, axes, shape):
    grouped = x.reshape(shape)
    mean = grouped.mean(axis=axes, keepdims=True)
    variance = ((grouped - mean) ** 2).mean(axis=axes, keepdims=True)
    normal = ((grouped - mean) / np.sqrt(variance + node.attributes["epsilon"])).reshape(x.shape)
    return normal * _array(node, arrays, "gamma", 1.0) + _array(node, arrays, "beta", 0.0)


def layer_norm(node, x, arrays):
    return _normalise(node, x, arrays, -1, x.shape)


def group_norm(node, x, arrays):
    groups = node.attributes["groups"]
    shape = x.shape[:3] + (groups, x.shape[3] // groups)
    return _normalise(node, x, arrays, (1, 2, 4), shape)


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _resampling(extent, wanted):
    """Weights (wanted, extent) of bicubic resampling with antialiasing."""
    ratio = extent / float(wanted)
    centres = ratio * (np.arange(wanted)[:, np.newaxis] + 0.5)
    x = np.abs((np.arange(extent) + 0.5 - centres) / max(ratio, 1.0))
    near, far = 1.5 * x ** 3 - 2.5 * x ** 2 + 1, -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def position_embedding(node, x, arrays):
    value = arrays[node.attributes["value"]].astype(np.float64)
    down, across = _resampling(value.shape[0], x.shape[1]), _resampling(value.shape[1], x.shape[2])
    return x + np.einsum("ih,hwc,jw->ijc", down, value, across)


def _attend(queries, keys, values, scale, addend):
    """Of maps (..., n, heads, width)."""
    scores = np.einsum("...ihc,...jhc->...hij", queries, keys) * scale + addend
    return np.einsum("...hij,...jhc->...ihc", softmax(scores), values)


def _regions(extents, window, shift):
    """The region of each place of a padded map, as Swin's own code numbers them."""
    regions = np.zeros(extents, int)
    number = 0
    cuts = [[(0, -w), (-w, -s), (-s, None)] if s else [(0, None)] for w, s in zip(window, shift)]
    for top, bottom in cuts[0]:
        for left, right in cuts[1]:
            regions[top:bottom, left:right] = number
            number += 1
    return regions


def _cut(x, window):
    """Windows (..., rows, columns, tokens, rest) of a map (..., height, width, rest)."""
    n, height, width = x.shape[:3]
    rows, columns = height // window[0], width // window[1]
    x = x.reshape((n, rows, window[0], columns, window[1], -1)).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows, columns, window[0] * window[1], -1)


def _join(x, window):
    n, rows, columns = x.shape[:3]
    x = x.reshape((n, rows, columns, window[0], window[1], -1)).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows * window[0], columns * window[1], -1)


def _attend_in_windows(node, x, arrays, split, addend):
    window = node.attributes["window"]
    extents = [-(-extent // size) * size for extent, size in zip(x.shape[1:3], window)]
    shift = [s if extent > size else 0 for s, extent, size in zip(
        node.attributes.get("shift", [0, 0]), extents, window)]
    padded = np.zeros((len(x), extents[0], extents[1], x.shape[3]))
    padded[:] = _array(node, arrays, "bias", 0.0)
    padded[:, :x.shape[1], :x.shape[2]] = x
    rolled = np.roll(padded, [-s for s in shift], (1, 2))
    regions = _cut(_regions(extents, window, shift)[np.newaxis, :, :, np.newaxis], window)[0, ..., 0]
    mask = np.where(regions[..., :, np.newaxis] == regions[..., np.newaxis, :], 0.0, -100.0)
    result = _attend(*(split(_cut(rolled, window)) +
                       [node.attributes["scale"], addend + mask[:, :, np.newaxis]]))
    result = _join(result.reshape(result.shape[:4] + (-1,)), window)
    return np.roll(result, shift, (1, 2))[:, :x.shape[1], :x.shape[2]]


def attention(node, inputs, arrays):
    heads = node.attributes["heads"]
    addend = _array(node, arrays, "value", 0.0)

    def split(x):
        return [part.reshape(part.shape[:-1] + (heads, -1)) for part in np.split(x, 3, axis=-1)]

    if "window" in node.attributes:
        return _attend_in_windows(node, inputs[0], arrays, split, addend)
    flat = [x.reshape(len(x), -1, x.shape[3]) for x in inputs]
    parts = split(flat[0]) if len(flat) == 1 else [
        x.reshape(x.shape[:2] + (heads, -1)) for x in flat]
    result = _attend(*(parts + [node.attributes["scale"], addend]))
    return result.reshape(inputs[0].shape[:3] + (-1,))


class TokenMixin(object):
    """Random normalisations, embeddings and attention for `networks.Builder`.

    What is normalised has several numbers, and what goes through an exponential is normalised: of few
    numbers, or such far apart, the sign of a rounding error would decide.
    """

    def affine(self, name, channels):
        attributes = {"epsilon": 1e-3}
        if self.rng.rand() < 0.7:
            attributes["gamma"] = self.array(name + "g", (channels,), 0.3, 1.0)
        if self.rng.rand() < 0.7:
            attributes["beta"] = self.array(name + "b", (channels,), 0.3)
        return attributes

    def norm(self, source):
        height, width, channels = self.shapes[source]
        name, op = "t{}".format(len(self.nodes)), self.pick("layer_norm", "group_norm")
        groups = self.pick(*[n for n in (1, 2, 3, channels) if channels % n == 0])
        if (channels if op == "layer_norm" else height * width * channels // groups) < 16:
            return None
        attributes = self.affine(name, channels)
        if op == "group_norm":
            attributes["groups"] = groups
        return self.add(op, [source], attributes, self.shapes[source])

    def map_softmax(self, source):
        if self.shapes[source][2] < 16:
            source = self.project(source, self.pick(16, 17, 40))
        name = "t{}".format(len(self.nodes))
        source = self.add("layer_norm", [source], self.affine(name, self.shapes[source][2]),
                          self.shapes[source])
        return self.add("softmax", [source], {}, self.shapes[source])

    def embedding(self, source):
        height, width, channels = shape = self.shapes[source]
        grid = shape[:2] if self.rng.rand() < 0.4 else (self.pick(1, 4, 7), self.pick(3, 5, 16))
        name = self.array("e{}".format(len(self.nodes)), grid + (channels,), 0.5)
        return self.add("position_embedding", [source], {"value": name}, shape)

    def project(self, source, channels):
        shape, name = self.shapes[source], "w{}".format(len(self.nodes))
        attributes = {"kernel": self.array(name, (1, 1, shape[2], channels), shape[2] ** -0.5),
                      "strides": [1, 1], "padding": "valid",
                      "bias": self.array(name + "b", (channels,), 0.3)}
        return self.add("conv2d", [source], attributes, shape[:2] + (channels,))

    def attention(self, source):
        height, width, channels = self.shapes[source]
        name = "t{}".format(len(self.nodes))
        heads, size = self.pick(1, 2, 3), self.pick(4, 8, 11, 16, 32)
        if height * width * heads * size * 3 > 4 * 6000:
            return None
        if channels < 16:
            channels = self.pick(16, 24, 33)
            source = self.project(source, channels)
        tokens, attributes = height * width, {"heads": heads, "scale": size ** -0.5}
        source = self.add("layer_norm", [source], self.affine(name, channels), self.shapes[source])
        kind = self.pick("whole", "windows", "windows", "three")
        if kind == "windows":
            window = [self.pick(2, 3, 7), self.pick(2, 3, 7)]
            tokens = window[0] * window[1]
            attributes["window"] = window
            attributes["shift"] = [int(self.rng.randint(n)) for n in window]
            attributes["bias"] = self.array(name + "p", (3 * heads * size,), 0.5)
        if self.rng.rand() < 0.5:
            attributes["value"] = self.array(name + "v", (heads, tokens, tokens), 1.0)
        inputs = [self.project(source, heads * size * (1 if kind == "three" else 3))
                  for _ in range(3 if kind == "three" else 1)]
        return self.add("attention", inputs, attributes, (height, width, heads * size))
