"""Random networks: convolutions and pools of every kind, joins, shared nodes, several taps."""
import numpy as np

from gear_transfer.importers.network import Network, Node

#: Largest map, in numbers, that a random network grows to.
LARGEST_MAP = 6000


class Builder(object):
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
        return self.add(op, [source], attributes, extents + self.shapes[source][2:])

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
        kind = self.pick("conv2d", "conv2d", "conv2d", "conv2d", "batch_norm", "relu", "relu",
                         "bias", "pool", "join", "join")
        return getattr(self, kind)(source)

    def end(self):
        """Sometimes what stands at the end of a classifier."""
        source, choice = self.nodes[-1].name, self.rng.rand()
        height, width, channels = self.shapes[source]
        if choice < 0.15:
            self.add(self.pick("global_average_pool", "global_max_pool"), [source], {},
                     (1, 1, channels))
        elif choice < 0.3:
            flat = self.add("flatten", [source], {}, (1, 1, height * width * channels))
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
