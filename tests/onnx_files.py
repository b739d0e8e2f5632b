"""Small ONNX models, and what the reference implementation of the package onnx makes of them."""
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from gear_transfer.importers import load_network
from oracle import twin

#: The networks see pixels around zero.
PREPROCESSING = {"scale": 1.0 / 64.0, "offset": -2.0}

FLOAT = TensorProto.FLOAT


class Graph(object):
    """Nodes and tensors of a model, written one after another.

    Parameters
    ----------
    shape : sequence of int or str
        Of the image; text stands for a size that is left open.
    """

    def __init__(self, shape=("batch", 3, 12, 10), opset=17, seed=0):
        self.shape, self.opset = shape, opset
        self.nodes, self.tensors = [], []
        self.random = np.random.RandomState(seed)
        self.last = "image"

    def tensor(self, values, name=None):
        """The name of an array; a tuple of int is a shape of random numbers."""
        if isinstance(values, tuple):
            values = (self.random.normal(size=values) * 0.4).astype(np.float32)
        name = name or "tensor{}".format(len(self.tensors))
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def ints(self, *values):
        """The name of a vector of whole numbers."""
        return self.tensor(np.array(values, np.int64))

    def number(self, value):
        """The name of a scalar."""
        return self.tensor(np.float32(value))

    def add(self, kind, *inputs, **attributes):
        """Append a node; it reads the last one where no inputs are named. Its result's name."""
        outputs = attributes.pop("outputs", 1)
        name = attributes.pop("name", "{}{}".format(kind.lower(), len(self.nodes)))
        names = ["{}:{}".format(name, i) for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs or (self.last,), names, name=name,
                                           **attributes))
        self.last = names[0]
        return names[0] if outputs == 1 else names

    def conv(self, out, into=3, size=3, name="conv", source=None, **attributes):
        """A convolution with a bias."""
        attributes.setdefault("pads", [size // 2] * 4)
        return self.add("Conv", source or self.last, self.tensor((out, into, size, size)),
                        self.tensor((out,)), name=name, kernel_shape=[size, size], **attributes)

    def linear(self, into, out, source=None):
        """Matrix and bias, as the exporters write a fully connected layer on tokens."""
        x = self.add("MatMul", source or self.last, self.tensor((into, out)))
        return self.add("Add", x, self.tensor((out,)))

    def model(self, *outputs):
        """The model whose results are these tensors, or the last one."""
        image = helper.make_tensor_value_info("image", FLOAT, self.shape)
        results = [helper.make_tensor_value_info(name, FLOAT, None)
                   for name in outputs or (self.last,)]
        graph = helper.make_graph(self.nodes, "small", [image], results, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                 ir_version=8 if self.opset < 21 else 10)


def saved(folder, model, name="model.onnx"):
    """Path of a file with the model."""
    path = os.path.join(str(folder), name)
    with open(path, "wb") as stream:
        stream.write(model.SerializeToString())
    return path


def reference(model, x):
    """The first result for images (n, channels, height, width), or as the model wants them."""
    from onnx.reference import ReferenceEvaluator
    return ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]


def ours(network, images):
    """The last node's result, (n, height, width, channels)."""
    results = twin.run(network, images)
    return results[network.nodes[-1].name]


def check(folder, graph, images=2, size=None, channels_last=False, **settings):
    """Compare a graph with the reference; the network."""
    model = graph.model() if isinstance(graph, Graph) else graph
    network = load_network(saved(folder, model), preprocessing=PREPROCESSING, **settings)
    height, width = size or network.input_size or (12, 10)
    pixels = np.random.RandomState(1).randint(
        0, 256, (images, height, width, network.nodes[0].attributes["channels"])).astype(np.uint8)
    x = (pixels * PREPROCESSING["scale"] + PREPROCESSING["offset"]).astype(np.float32)
    expected = reference(model, x if channels_last else x.transpose(0, 3, 1, 2))
    if expected.ndim == 4 and not channels_last:
        expected = expected.transpose(0, 2, 3, 1)
    got = ours(network, pixels)
    assert got.size == expected.size
    worst = np.abs(got.reshape(images, -1) - expected.reshape(images, -1)).max()
    assert worst <= 1e-4 * max(np.abs(expected).max(), 1e-3), worst
    return network


def operations(network):
    """The operations of a network in order."""
    return [node.op for node in network.nodes]
