"""Operations that move, join or normalise maps, as nodes of ONNX; the others are in onnx_nodes."""
import numpy as np

from .onnx_nodes import AXES, GraphWriter

_LAST = np.iinfo(np.int64).max  # behind every end

_COORDINATES = {"half_pixel": "half_pixel", "align_corners": "align_corners",
                "asymmetric": "asymmetric"}

_REDUCTIONS = {"mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "l2": "ReduceL2"}


class MapWriter(GraphWriter):
    """A GraphWriter that knows these operations as well."""

    def _whole(self, node, name, numbers):
        return self.constant("{}/{}".format(node.name, name), np.array(numbers, np.int64))

    def _pixels_first(self, node, source):
        """A map as (n, height, width, channels)."""
        return self.add("Transpose", [source], node.name + "/pixels", perm=[0, 2, 3, 1])

    def _write_constant(self, node):
        values = self.array(node.attributes["value"]).transpose(2, 0, 1)[None]
        self.add("Identity", [self.constant(node.name + "/value", values)], node.name)

    def _write_position_embedding(self, node):
        height, width, _ = self.shape_of(node.inputs[0])
        values = self.array(node.attributes["value"])
        if values.shape[:2] != (height, width):
            down, across = resampling(values.shape[0], height), resampling(values.shape[1], width)
            values = np.einsum("ih,hwc,jw->ijc", down, values, across).astype(np.float32)
        values = values.transpose(2, 0, 1)[None]
        self.add("Add", [node.inputs[0], self.constant(node.name + "/value", values)], node.name)

    def _cut(self, node, axis, start, stop, step=1):
        inputs = [node.inputs[0]] + [self._whole(node, name, [value]) for name, value in (
            ("start", start), ("stop", stop), ("axis", axis), ("step", step))]
        self.add("Slice", inputs, node.name)

    def _write_slice(self, node):
        wanted = node.attributes
        self._cut(node, AXES[wanted["axis"]], wanted["start"], wanted.get("stop", _LAST),
                  wanted.get("step", 1))

    def _write_crop(self, node):
        top, left, bottom, right = node.attributes["cropping"]
        height, width, _ = self.shape_of(node.inputs[0])
        inputs = [node.inputs[0]] + [self._whole(node, name, values) for name, values in (
            ("start", [top, left]), ("stop", [height - bottom, width - right]), ("axes", [2, 3]))]
        self.add("Slice", inputs, node.name)

    def _write_channel_shuffle(self, node):
        height, width, channels = self.shape_of(node.inputs[0])
        groups = node.attributes["groups"]
        parts = self.add("Reshape", [node.inputs[0], self._whole(
            node, "parts_shape", [0, groups, channels // groups, height, width])], node.name + "/parts")
        turned = self.add("Transpose", [parts], node.name + "/turned", perm=[0, 2, 1, 3, 4])
        self.add("Reshape", [turned, self._whole(node, "shape", [0, channels, height, width])], node.name)

    def _write_local_response_norm(self, node):
        wanted = node.attributes
        self.add("LRN", node.inputs, node.name, size=wanted["size"], alpha=wanted["alpha"],
                 beta=wanted["beta"], bias=wanted["bias"])

    def _write_reduce(self, node):
        axes = [2, 3] if node.attributes["axis"] == "map" else [1]
        function = node.attributes["function"]
        if function == "sum":
            self.add("ReduceSum", [node.inputs[0], self._whole(node, "axes", axes)], node.name,
                     keepdims=1)
        else:
            self.add(_REDUCTIONS[function], node.inputs, node.name, axes=axes, keepdims=1)

    def _write_resize(self, node):
        wanted = node.attributes
        scales = self.constant(node.name + "/scales", np.array(
            [1, 1] + list(wanted["factors"]), np.float32))
        if wanted["mode"] == "nearest":
            settings = {"mode": "nearest", "nearest_mode": "floor",
                        "coordinate_transformation_mode": "asymmetric"}
        else:
            settings = {"mode": "linear", "coordinate_transformation_mode": _COORDINATES[
                wanted.get("coordinates", "half_pixel")]}
        self.add("Resize", [node.inputs[0], "", scales], node.name, **settings)

    def _write_reshape(self, node):
        reshaped = self.add("Reshape", [self._pixels_first(node, node.inputs[0]), self._whole(
            node, "shape", [0] + list(node.attributes["shape"]))], node.name + "/reshaped")
        self.add("Transpose", [reshaped], node.name, perm=[0, 3, 1, 2])

    def _write_transpose(self, node):
        # The axes are of (height, width, channels); here channels come first.
        place = {0: 2, 1: 3, 2: 1}
        height, width, channels = [place[axis] for axis in node.attributes["axes"]]
        self.add("Transpose", node.inputs, node.name, perm=[0, channels, height, width])

    def _scaled(self, node, source):
        """Times gamma plus beta, each where the node has it."""
        steps = [(op, key) for op, key in (("Mul", "gamma"), ("Add", "beta")) if key in node.attributes]
        for i, (op, key) in enumerate(steps):
            last = i + 1 == len(steps)
            source = self.add(op, [source, self.per_channel(node, key)],
                              node.name if last else "{}/{}d".format(node.name, key))
        if not steps:
            self.add("Identity", [source], node.name)

    def _normalised(self, node, source, axes, name):
        """Less the mean and by the deviation along axes, as the sum of squares says it."""
        mean = self.add("ReduceMean", [source], name + "/mean", axes=axes, keepdims=1)
        centred = self.add("Sub", [source, mean], name + "/centred")
        squares = self.add("Mul", [centred, centred], name + "/squares")
        variance = self.add("ReduceMean", [squares], name + "/variance", axes=axes, keepdims=1)
        epsilon = self.constant(name + "/epsilon", np.float32(node.attributes["epsilon"]))
        deviation = self.add("Sqrt", [self.add("Add", [variance, epsilon], name + "/raised")],
                             name + "/deviation")
        return self.add("Div", [centred, deviation], name + "/normal")

    def _write_layer_norm(self, node):
        self._scaled(node, self._normalised(node, node.inputs[0], [1], node.name))

    def _write_group_norm(self, node):
        height, width, channels = self.shape_of(node.inputs[0])
        groups = node.attributes["groups"]
        parts = self.add("Reshape", [node.inputs[0], self._whole(
            node, "parts_shape", [0, groups, channels // groups, height, width])], node.name + "/parts")
        normal = self._normalised(node, parts, [2, 3, 4], node.name)
        self._scaled(node, self.add("Reshape", [normal, self._whole(
            node, "shape", [0, channels, height, width])], node.name + "/joined"))


def resampling(extent, wanted):
    """Weights of bicubic resampling with antialiasing, as a position embedding of another size has it.

    Parameters
    ----------
    extent, wanted : int

    Returns
    -------
    ndarray of float64, shape (wanted, extent)
    """
    ratio = extent / float(wanted)
    centres = ratio * (np.arange(wanted)[:, np.newaxis] + 0.5)
    x = np.abs((np.arange(extent) + 0.5 - centres) / max(ratio, 1.0))
    near, far = 1.5 * x ** 3 - 2.5 * x ** 2 + 1, -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
