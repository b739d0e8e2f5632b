"""Random networks: convolutions and pools of every kind, joins, shared nodes, several taps."""
import os
import sys

import numpy as np

from gear_transfer.importers.network import Network, Node
from gear_transfer.importers.operations import FUNCTIONS

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]

import tokens  # noqa: E402

#: Largest map, in numbers, that a random network grows to.
LARGEST_MAP = 6000

#: What else may follow a map than the layers that every network has.
MAP_KINDS = ("activation", "activation", "activation", "clip", "prelu", "scale", "binary", "binary",
             "excite", "border", "cut", "shuffle", "response_norm", "reduce", "resize", "move",
             "stack")


class Builder(tokens.TokenMixin):
    """Grows one network from a seed.

    Parameters
    ----------
    seed : int
        Of everything that is chosen.
    """

    def __init__(self, seed):
        self.rng = np.random.RandomState(seed)
        self.nodes = []
        self.arrays = {}
        self.shapes = {}

    def pick(self, *choices):
        return choices[self.rng.randint(len(choices))]

    def array(self, name, shape, scale=1.0, offset=0.0):
        self.arrays[name] = (self.rng.randn(*shape) * scale + offset).astype(np.float32)
        return name

    def add(self, op, inputs, attributes, shape):
        name = "{}_{}".format(op, len(self.nodes))
        self.nodes.append(Node(name, op, inputs, attributes))
        self.shapes[name] = shape
        return name

    def padding(self, size):
        """A padding that leaves no window wholly outside the map."""
        kind = self.pick("same", "valid", "explicit")
        if kind != "explicit":
            return kind
        return [int(self.rng.randint(size[axis % 2])) for axis in range(4)]

    def extents(self, source, size, strides, dilations, padding):
        """Height and width of a window's results, or None where there are none."""
        result = []
        for axis in range(2):
            extent, reach = self.shapes[source][axis], (size[axis] - 1) * dilations[axis] + 1
            if padding == "same":
                result.append(-(-extent // strides[axis]))
                continue
            if padding != "valid":
                extent += padding[axis] + padding[axis + 2]
            result.append((extent - reach) // strides[axis] + 1)
        return tuple(result) if min(result) > 0 else None

    def ceil_extents(self, source, size, strides, padding):
        """Likewise where a last window may reach beyond the padding."""
        result = []
        for axis in range(2):
            extent = self.shapes[source][axis]
            before, after = (0, 0) if padding == "valid" else padding[axis::2]
            count = -(-(extent + before + after - size[axis]) // strides[axis]) + 1
            result.append(count - ((count - 1) * strides[axis] >= extent + before))
        return tuple(result)

    def conv2d(self, source):
        channels = self.shapes[source][2]
        size = [self.pick(1, 1, 2, 3, 3, 5, 7), self.pick(1, 1, 2, 3, 3, 5, 7)]
        size = [size[0], size[0]] if self.rng.rand() < 0.7 else size
        strides = [self.pick(1, 1, 1, 2, 3), self.pick(1, 1, 1, 2, 3)]
        strides = [strides[0], strides[0]] if self.rng.rand() < 0.8 else strides
        dilations = [1, 1] if self.rng.rand() < 0.8 else [self.pick(1, 2), self.pick(1, 2, 3)]
        groups = self.pick(1, 1, 1, channels, *[n for n in (2, 4) if channels % n == 0])
        out = groups * self.pick(1, 1, 2) if groups == channels > 1 else groups * self.rng.randint(
            1, 1 + self.pick(2, 8, 40) // min(groups, 2))
        padding = self.padding([(s - 1) * d + 1 for s, d in zip(size, dilations)])
        extents = self.extents(source, size, strides, dilations, padding)
        if extents is None or extents[0] * extents[1] * out > LARGEST_MAP:
            return None
        into = channels // groups
        name = "w{}".format(len(self.nodes))
        attributes = {"kernel": self.array(name, tuple(size) + (into, out),
                                           (2.0 / (size[0] * size[1] * into)) ** 0.5),
                      "strides": strides, "padding": padding, "dilations": dilations,
                      "groups": groups}
        if self.rng.rand() < 0.5:
            attributes["bias"] = self.array(name + "b", (out,), 0.3)
        return self.add("conv2d", [source], attributes, extents + (int(out),))

    def batch_norm(self, source):
        channels, name = self.shapes[source][2:], "n{}".format(len(self.nodes))
        attributes = {"mean": self.array(name + "m", channels, 0.2),
                      "variance": self.array(name + "v", channels, 0.1, 1.0), "epsilon": 1e-3}
        self.arrays[name + "v"] = np.abs(self.arrays[name + "v"]) + np.float32(0.2)
        if self.rng.rand() < 0.7:
            attributes["gamma"] = self.array(name + "g", channels, 0.3, 1.0)
        if self.rng.rand() < 0.7:
            attributes["beta"] = self.array(name + "b", channels, 0.3)
        return self.add("batch_norm", [source], attributes, self.shapes[source])

    def relu(self, source):
        limit = self.pick(None, None, 6.0, 1.0)
        return self.add("relu", [source], {} if limit is None else {"max_value": limit},
                        self.shapes[source])

    def bias(self, source):
        name = self.array("a{}".format(len(self.nodes)), self.shapes[source][2:], 0.3)
        return self.add("bias", [source], {"bias": name}, self.shapes[source])

    def pool(self, source):
        size = [self.pick(1, 2, 3, 3, 5), self.pick(2, 3, 3, 5)]
        strides = [self.pick(1, 2, 3), self.pick(1, 2, 3)]
        padding = self.padding(size)
        extents = self.extents(source, size, strides, [1, 1], padding)
        if extents is None:
            return None
        op = self.pick("max_pool", "average_pool")
        attributes = {"pool_size": size, "strides": strides, "padding": padding}
        if op == "average_pool" and self.rng.rand() < 0.4:
            attributes["count_include_padding"] = True
        if self.rng.rand() < 0.3 and padding != "same":
            attributes["ceil_mode"] = True
            extents = self.ceil_extents(source, size, strides, padding)
        return self.add(op, [source], attributes, extents + self.shapes[source][2:])

    def activation(self, source):
        """A function of each number; those that magnify errors read numbers of a known range."""
        function = self.pick(*FUNCTIONS)
        if function in ("exp", "sqrt"):
            source = self.add("activation", [source], {"function": "softplus" if function == "sqrt"
                                                       else "tanh"}, self.shapes[source])
        attributes = {"function": function}
        if function in ("leaky_relu", "elu") and self.rng.rand() < 0.5:
            attributes["alpha"] = self.pick(0.1, 0.3)
        if function == "hard_sigmoid" and self.rng.rand() < 0.5:
            attributes.update(alpha=0.2, beta=0.5)
        return self.add("activation", [source], attributes, self.shapes[source])

    def clip(self, source):
        attributes = self.pick({"min_value": -0.5}, {"max_value": 0.75}, {},
                               {"min_value": -1.0, "max_value": 1.0},
                               {"min_value": 0.25, "max_value": 2.0})
        return self.add("clip", [source], dict(attributes), self.shapes[source])

    def prelu(self, source):
        name = self.array("s{}".format(len(self.nodes)), self.shapes[source][2:], 0.2, 0.2)
        return self.add("prelu", [source], {"alpha": name}, self.shapes[source])

    def scale(self, source):
        name = self.array("f{}".format(len(self.nodes)), self.shapes[source][2:], 0.3, 1.0)
        return self.add("scale", [source], {"gamma": name}, self.shapes[source])

    def constant(self, shape):
        """A node of numbers of which none is near zero."""
        name = self.array("c{}".format(len(self.nodes)), shape, 0.3)
        self.arrays[name] += np.where(self.arrays[name] < 0.0, np.float32(-0.7), np.float32(0.7))
        return self.add("constant", [], {"value": name}, shape)

    def binary(self, source):
        """Two maps, or a map and a constant, of which one may be repeated along axes of the other."""
        shape = self.shapes[source]
        op = self.pick("add", "multiply", "multiply", "subtract", "divide", "maximum", "minimum")
        others = [name for name, other in self.shapes.items() if op != "divide" and name != source
                  and all(a == b or b == 1 for a, b in zip(shape, other))]
        if others and self.rng.rand() < 0.6:
            other = self.pick(*others)
        else:
            other = self.constant(self.pick(shape, (1, 1, shape[2]), (1, 1, 1), shape[:2] + (1,),
                                            (shape[0], 1, shape[2])))
        inputs = [source, other] if op == "divide" or self.rng.rand() < 0.5 else [other, source]
        return self.add(op, inputs, {}, shape)

    def excite(self, source):
        """Each channel times what is made of its mean: squeeze and excite."""
        shape = self.shapes[source]
        mean = self.add("global_average_pool", [source], {}, (1, 1, shape[2]))
        kernel = self.array("e{}".format(len(self.nodes)), (1, 1, shape[2], shape[2]),
                            shape[2] ** -0.5)
        dense = self.add("conv2d", [mean], {"kernel": kernel, "strides": [1, 1],
                                            "padding": "valid"}, (1, 1, shape[2]))
        gate = self.add("activation", [dense], {"function": self.pick("sigmoid", "hard_sigmoid")},
                        (1, 1, shape[2]))
        return self.add("multiply", [source, gate], {}, shape)

    def border(self, source):
        height, width, channels = self.shapes[source]
        top, left, bottom, right = sides = [int(side) for side in self.rng.randint(0, 3, 4)]
        if self.rng.rand() < 0.5:
            shape = (height + top + bottom, width + left + right, channels)
            attributes = {"padding": sides}
            if self.rng.rand() < 0.4:
                attributes["value"] = 0.5
            return (self.add("pad", [source], attributes, shape)
                    if shape[0] * shape[1] * channels <= LARGEST_MAP else None)
        shape = (height - top - bottom, width - left - right, channels)
        return self.add("crop", [source], {"cropping": sides}, shape) if min(shape) > 0 else None

    def cut(self, source):
        shape, axis = list(self.shapes[source]), int(self.rng.randint(3))
        start, step = int(self.rng.randint(-shape[axis], shape[axis])), self.pick(1, 1, 2)
        attributes = {"axis": ("height", "width", "channels")[axis], "start": start, "step": step}
        stop = None
        if self.rng.rand() < 0.5:
            attributes["stop"] = stop = self.pick(start % shape[axis] + 1, -1, 1 << 20)
        shape[axis] = len(range(*slice(start, stop, step).indices(shape[axis])))
        return self.add("slice", [source], attributes, tuple(shape)) if shape[axis] else None

    def shuffle(self, source):
        channels = self.shapes[source][2]
        groups = self.pick(*[n for n in (1, 2, 3, 4, channels) if channels % n == 0])
        return self.add("channel_shuffle", [source], {"groups": groups}, self.shapes[source])

    def response_norm(self, source):
        attributes = {"size": self.pick(1, 2, 5), "alpha": self.pick(1e-4, 0.5),
                      "beta": self.pick(0.75, 0.5), "bias": self.pick(1.0, 2.0)}
        return self.add("local_response_norm", [source], attributes, self.shapes[source])

    def reduce(self, source):
        axis, (height, width, channels) = self.pick("map", "channels"), self.shapes[source]
        return self.add("reduce", [source],
                        {"axis": axis, "function": self.pick("mean", "max", "min", "l2", "sum")},
                        (1, 1, channels) if axis == "map" else (height, width, 1))

    def resize(self, source):
        factors, mode = [self.pick(1, 2), self.pick(1, 2, 3)], self.pick("nearest", "bilinear")
        height, width, channels = self.shapes[source]
        shape = (height * factors[0], width * factors[1], channels)
        if shape[0] * shape[1] * channels > LARGEST_MAP:
            return None
        attributes = {"factors": factors, "mode": mode}
        if mode == "bilinear":
            attributes["coordinates"] = self.pick("half_pixel", "align_corners", "asymmetric")
        return self.add("resize", [source], attributes, shape)

    def move(self, source):
        """A reshape or a transposition."""
        shape = self.shapes[source]
        if self.rng.rand() < 0.4:
            return self.add("reshape", [source], {"shape": [-1, 1, shape[2]]},
                            (shape[0] * shape[1], 1, shape[2]))
        axes = [int(axis) for axis in self.rng.permutation(3)]
        return self.add("transpose", [source], {"axes": axes}, tuple(shape[axis] for axis in axes))

    def stack(self, source):
        """A concatenation along the height or the width."""
        shape, axis = list(self.shapes[source]), int(self.rng.randint(2))
        others = [name for name, other in self.shapes.items()
                  if other[1 - axis] == shape[1 - axis] and other[2] == shape[2]]
        inputs = [source] + [self.pick(*others) for _ in range(self.pick(1, 2))]
        shape[axis] = sum(self.shapes[name][axis] for name in inputs)
        if shape[0] * shape[1] * shape[2] > LARGEST_MAP:
            return None
        return self.add("concat", inputs, {"axis": ("height", "width")[axis]}, tuple(shape))

    def join(self, source):
        """A concatenation or a sum with other maps of that extent."""
        shape = self.shapes[source]
        op = self.pick("concat", "concat", "add")
        others = [name for name, other in self.shapes.items()
                  if (other == shape if op == "add" else other[:2] == shape[:2])]
        inputs = [source] + [self.pick(*others) for _ in range(self.pick(1, 1, 2, 3))]
        channels = shape[2] if op == "add" else sum(self.shapes[name][2] for name in inputs)
        if shape[0] * shape[1] * channels > LARGEST_MAP:
            return None
        return self.add(op, inputs, {}, shape[:2] + (channels,))

    def grow(self):
        """Append a random node after one of the latest, if it fits there."""
        names = list(self.shapes)
        source = names[max(len(names) - 1 - int(self.rng.exponential(1.0)), 0)]
        kind = self.pick(*MAP_KINDS) if self.rng.rand() < 0.35 else self.pick(
            "conv2d", "conv2d", "conv2d", "conv2d", "batch_norm", "relu", "relu", "bias", "pool",
            "join", "join", "norm", "embedding", "attention", "map_softmax")
        return getattr(self, kind)(source)

    def end(self):
        """Sometimes what stands at the end of a classifier."""
        source, choice = self.nodes[-1].name, self.rng.rand()
        height, width, channels = self.shapes[source]
        if choice < 0.15:
            self.add(self.pick("global_average_pool", "global_max_pool"), [source], {},
                     (1, 1, channels))
        elif choice < 0.3:
            flat = self.add("flatten", [source], self.pick({}, {"channels_first": True}),
                            (1, 1, height * width * channels))
            kernel = self.array("dense", (height * width * channels, 7),
                                (1.0 / (height * width * channels)) ** 0.5)
            dense = self.add("dense", [flat], {"kernel": kernel,
                                               "bias": self.array("dense_b", (7,))}, (1, 1, 7))
            self.add("softmax", [dense], {}, (1, 1, 7))


def channel_numbers(builder, number):
    """A number of the preprocessing, sometimes another one for each channel."""
    if builder.rng.rand() < 0.4:
        return number
    return [float(number * factor) for factor in builder.rng.uniform(0.7, 1.4, 3)]


def make(seed):
    """A random network and what to ask of it.

    Returns
    -------
    Network
    tuple of int
        Height and width of its input.
    list of str
        Layers to tap, one to four.
    """
    builder = Builder(seed)
    height, width = builder.pick(1, 2, 5, 8, 13, 16, 23), builder.pick(1, 3, 7, 8, 16, 19)
    channels = builder.pick(1, 3, 3, 3, 4)
    builder.add("input", [], {"channels": channels}, (height, width, channels))
    wanted = builder.rng.randint(2, 14)
    for _ in range(10 * wanted):
        if len(builder.nodes) > wanted:
            break
        builder.grow()
    builder.end()
    names = [node.name for node in builder.nodes[1:]]
    if not names:
        return make(seed + 1000003)
    taps = {names[-1]} | {builder.pick(*names) for _ in range(builder.pick(0, 0, 1, 3))}
    preprocessing = builder.pick({"scale": 1.0 / 127.5, "offset": -1.0},
                                 {"scale": 1.0 / 255.0, "offset": 0.0},
                                 {"scale": 1.0, "offset": -120.0})
    if channels == 3 and builder.rng.rand() < 0.6:
        preprocessing = {"scale": channel_numbers(builder, preprocessing["scale"]),
                         "offset": channel_numbers(builder, preprocessing["offset"]),
                         "channels": builder.pick("rgb", "bgr")}
    network = Network("random {}".format(seed), builder.nodes, builder.arrays, (height, width),
                      preprocessing)
    return network, (height, width), [name for name in names if name in taps]
