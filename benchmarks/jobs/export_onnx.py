"""A network in our native format as an ONNX model: export_onnx.py NETWORK.gtw LAYER MODEL.onnx.

The model takes uint8 images (n, height, width, 3), called images, and gives their features:
scaling, layers and the global average are inside. Batch normalisation stays a node of its own;
the programs that run the model fold it themselves. Runs where onnx is installed, with the root of
the project on PYTHONPATH; of gear_transfer it needs no compiled part.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gear_transfer.importers import ChannelQuantizedArray, QuantizedArray, load_network


class Export:
    """Nodes and constants of the model, gathered node by node."""

    def __init__(self, network):
        self.network = network
        self.nodes = []
        self.constants = []

    def constant(self, name, values):
        values = np.ascontiguousarray(values)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def array(self, name):
        """A float32 array of the network."""
        values = self.network.arrays[name]
        if isinstance(values, (ChannelQuantizedArray, QuantizedArray)):
            return values.dequantize()
        return np.asarray(values, np.float32)

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))

    def input(self, node):
        """uint8 NHWC to scaled float32 NCHW."""
        scaling = self.network.preprocessing
        self.node("Cast", ["images"], "images/float", to=TensorProto.FLOAT)
        self.node("Transpose", ["images/float"], "images/nchw", perm=[0, 3, 1, 2])
        scale, offset = [np.float32(scaling[key]).reshape(-1, 1, 1) for key in ("scale", "offset")]
        ordered = "images/nchw"
        if scaling.get("channels") == "bgr":
            ordered = "images/bgr"
            self.node("Gather", ["images/nchw", self.constant("order", np.array([2, 1, 0]))],
                      ordered, axis=1)
        self.node("Mul", [ordered, self.constant("scale", scale)], "images/scaled")
        self.node("Add", ["images/scaled", self.constant("offset", offset)], node.name)

    def conv2d(self, node):
        wanted = node.attributes
        kernel = self.array(wanted["kernel"])
        inputs = list(node.inputs) + [
            self.constant(node.name + "/kernel", kernel.transpose(3, 2, 0, 1))]
        if "bias" in wanted:
            inputs.append(self.constant(node.name + "/bias", self.array(wanted["bias"])))
        self.node("Conv", inputs, node.name, kernel_shape=kernel.shape[:2],
                  strides=wanted["strides"], dilations=wanted.get("dilations", [1, 1]),
                  group=wanted.get("groups", 1), **padding(wanted["padding"]))

    def batch_norm(self, node):
        wanted = node.attributes
        mean = self.array(wanted["mean"])
        parts = [self.array(wanted["gamma"]) if "gamma" in wanted else np.ones_like(mean),
                 self.array(wanted["beta"]) if "beta" in wanted else np.zeros_like(mean),
                 mean, self.array(wanted["variance"])]
        roles = ("gamma", "beta", "mean", "variance")
        inputs = [self.constant(node.name + "/" + role, part) for role, part in zip(roles, parts)]
        self.node("BatchNormalization", list(node.inputs) + inputs, node.name,
                  epsilon=wanted["epsilon"])

    def relu(self, node):
        if "max_value" not in node.attributes:
            self.node("Relu", node.inputs, node.name)
            return
        bounds = [self.constant(node.name + "/min", np.float32(0.0)),
                  self.constant(node.name + "/max", np.float32(node.attributes["max_value"]))]
        self.node("Clip", list(node.inputs) + bounds, node.name)

    def max_pool(self, node):
        self.pool("MaxPool", node)

    def average_pool(self, node):
        self.pool("AveragePool", node,
                  count_include_pad=int(node.attributes.get("count_include_padding", False)))

    def pool(self, op, node, **attributes):
        wanted = node.attributes
        attributes.update(padding(wanted["padding"]))
        self.node(op, node.inputs, node.name, kernel_shape=wanted["pool_size"],
                  strides=wanted["strides"], **attributes)

    def concat(self, node):
        self.node("Concat", node.inputs, node.name, axis=1)

    def add(self, node):
        self.node("Add" if len(node.inputs) == 2 else "Sum", node.inputs, node.name)

    def model(self, layer):
        """The whole of it, up to the global average of `layer`."""
        for node in self.network.nodes:
            method = getattr(self, node.op, None)
            if method is None:
                raise SystemExit("{}: {} is not exported".format(node.name, node.op))
            method(node)
        self.node("GlobalAveragePool", [layer], "average")
        self.node("Flatten", ["average"], "features")
        images = helper.make_tensor_value_info("images", TensorProto.UINT8,
                                               ["n", "height", "width", 3])
        features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", "d"])
        graph = helper.make_graph(self.nodes, self.network.name, [images], [features],
                                  self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def padding(value):
    """Attributes of a convolution or pool."""
    if value == "same":
        return {"auto_pad": "SAME_UPPER"}
    if value == "valid":
        return {"auto_pad": "VALID"}
    return {"pads": list(value)}


if __name__ == "__main__":
    source, layer, destination = sys.argv[1:]
    exported = Export(load_network(source, layer)).model(layer)
    onnx.checker.check_model(exported)
    onnx.save(exported, destination)
