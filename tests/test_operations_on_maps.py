"""Attributes of operations on maps, from Python to the core, and what Python itself knows of them."""
import importlib.util
import os
import types

import numpy as np
import pytest

from gear_transfer import Backbone, _core
from gear_transfer.errors import GraphError
from gear_transfer.features.settings import default_layer
from gear_transfer.importers import compress
from gear_transfer.importers.network import Network, Node
from gear_transfer.importers.operations import FUNCTIONS
from gear_transfer.workbench.maps import map_extent

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle")
spec = importlib.util.spec_from_file_location("plain_twin", os.path.join(FOLDER, "twin.py"))
twin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(twin)

SIZE = (5, 4)


def network_of(op, attributes, arrays=None):
    """The photographs with six channels, then one node."""
    kernel = np.linspace(-1, 1, 18, dtype=np.float32).reshape(1, 1, 3, 6)
    nodes = [Node("image", "input", [], {"channels": 3}),
             Node("mixed", "conv2d", ["image"], {"kernel": "k", "strides": [1, 1],
                                                 "padding": "valid"}),
             Node("layer", op, ["mixed"], attributes)]
    return Network("of the test", nodes, dict(arrays or {}, k=kernel), SIZE,
                   {"scale": 1 / 127.5, "offset": -1.0})


@pytest.mark.parametrize("op, attributes", [
    ("activation", {"function": "leaky_relu", "alpha": 0.3}),
    ("activation", {"function": "elu", "alpha": 0.5}),
    ("activation", {"function": "hard_sigmoid", "alpha": 0.2, "beta": 0.4}),
    ("clip", {"min_value": -0.25, "max_value": 0.5}),
    ("prelu", {"alpha": "a"}),
    ("scale", {"gamma": "a"}),
    ("pad", {"padding": [1, 0, 2, 1], "value": -0.5}),
    ("crop", {"cropping": [1, 0, 2, 1]}),
    ("slice", {"axis": "channels", "start": -4, "stop": -1, "step": 2}),
    ("slice", {"axis": "height", "start": 2}),
    ("channel_shuffle", {"groups": 3}),
    ("local_response_norm", {"size": 3, "alpha": 0.3, "beta": 0.6, "bias": 1.5}),
    ("reduce", {"axis": "map", "function": "l2"}),
    ("reduce", {"axis": "channels", "function": "min"}),
    ("resize", {"factors": [2, 3], "mode": "bilinear", "coordinates": "align_corners"}),
    ("resize", {"factors": [3, 1], "mode": "nearest"}),
    ("reshape", {"shape": [4, -1, 3]}),
    ("transpose", {"axes": [2, 0, 1]}),
    ("flatten", {"channels_first": True}),
    ("average_pool", {"pool_size": [2, 2], "strides": [2, 2], "padding": [1, 1, 0, 0],
                      "ceil_mode": True, "count_include_padding": True}),
])
def test_attributes_reach_the_core(op, attributes):
    network = network_of(op, attributes, {"a": np.linspace(-0.5, 1, 6, dtype=np.float32)})
    images = np.random.RandomState(0).randint(0, 256, (2,) + SIZE + (3,)).astype(np.uint8)
    expected = twin.run(network, images)["layer"]
    found = Backbone.from_network(network, "of the test", "layer", SIZE, None, 1,
                                  "float32").features(images)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=2e-6)


@pytest.mark.parametrize("op, attributes, reason", [
    ("activation", {"function": "cube"}, "function"),
    ("activation", {}, "function"),
    ("activation", {"function": 3}, None),
    ("slice", {"axis": "depth", "start": 0}, "axis 'depth' is not known"),
    ("slice", {"axis": 1, "start": 0}, "axis 1 is not known"),
    ("resize", {"factors": [2, 2], "mode": "cubic"}, "mode 'cubic'"),
    ("resize", {"factors": [2], "mode": "nearest"}, "factors must hold 2 numbers"),
    ("reduce", {"axis": "map", "function": "median"}, "function 'median'"),
    ("crop", {"cropping": [1, 2]}, "cropping must hold 4"),
    ("transpose", {"axes": [0, 0, 1]}, "no order of three axes"),
    ("clip", {"min_value": 2.0, "max_value": 1.0}, "bounds 2 and 1"),
    ("pad", {"padding": [0, 0, 0, 0], "value": "a"}, None),
])
def test_faulty_attributes_are_refused(op, attributes, reason):
    nodes = (("image", "input", (), {"channels": 3}), ("layer", op, ("image",), attributes))
    with pytest.raises((ValueError, TypeError, GraphError)) as raised:
        _core.infer_shapes(nodes, {}, *SIZE)
    if reason is not None:
        assert "layer 'layer'" in str(raised.value) and reason in str(raised.value)


def extent_of(*nodes):
    """Where the map of the last of so many nodes after the photographs lies."""
    arrays = {"k": np.ones((3, 3, 3, 4), np.float32), "v": np.ones((1, 1, 3), np.float32)}
    nodes = [Node("image", "input", [], {"channels": 3}),
             Node("constant", "constant", [], {"value": "v"}),
             Node("product", "multiply", ["constant", "image"], {})] + [
                 Node(str(i), op, [str(i - 1) if i else "product"], attributes)
                 for i, (op, attributes) in enumerate(nodes)]
    network = Network("of the test", nodes, arrays, (16, 12), {"scale": 1.0, "offset": 0.0})
    backbone = Backbone.from_network(network, "of the test", nodes[-1].name, (16, 12), None, 1,
                                     "float32")
    return map_extent(types.SimpleNamespace(extractor_=types.SimpleNamespace(backbone_=backbone)))


def test_where_maps_lie():
    convolution = {"kernel": "k", "strides": [2, 2], "padding": "valid"}
    padded = dict(convolution, padding=[1, 1, 0, 0])
    assert extent_of(("conv2d", padded)) == extent_of(("pad", {"padding": [1, 1, 0, 0]}),
                                                      ("conv2d", convolution))
    assert extent_of(("crop", {"cropping": [4, 3, 4, 6]})) == (0.25, 0.25, 0.5, 0.75)
    assert extent_of(("slice", {"axis": "height", "start": -12, "stop": 8})) == (0, 0.25, 1, 0.5)
    for factors in ([2, 3], [1, 4]):
        assert extent_of(("resize", {"factors": factors, "mode": "nearest"})) == pytest.approx(
            (0, 0, 1, 1))


def test_default_layer_behind_gates():
    nodes = [Node("image", "input", [], {"channels": 3}),
             Node("one", "conv2d", ["image"], {}),
             Node("mean", "global_average_pool", ["one"], {}),
             Node("squeeze", "conv2d", ["mean"], {}),
             Node("gate", "activation", ["squeeze"], {"function": "sigmoid"}),
             Node("gated", "multiply", ["one", "gate"], {}),
             Node("last", "conv2d", ["gated"], {}),
             Node("pooled", "reduce", ["last"], {"axis": "map", "function": "mean"}),
             Node("flat", "reshape", ["pooled"], {"shape": [1, 1, -1]}),
             Node("dense", "dense", ["flat"], {}),
             Node("scores", "activation", ["dense"], {"function": "sigmoid"})]
    network = network_of("relu", {})
    network.nodes[:] = nodes
    assert default_layer(network)[0] == "last"
    network.nodes[:] = nodes[:3]
    assert default_layer(network)[0] == "one"
    network.nodes[:] = [nodes[0], Node("mean", "global_average_pool", ["image"], {})]
    assert default_layer(network)[0] == "mean"


@pytest.mark.parametrize("op, attributes", [
    ("activation", {"function": function}) for function in FUNCTIONS if function in
    ("leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "hard_swish", "hard_sigmoid", "sigmoid",
     "tanh", "mish")] + [
    ("relu", {"max_value": 1.0}), ("clip", {"min_value": -0.5}), ("prelu", {"alpha": "a"}),
    ("scale", {"gamma": "a"}), ("slice", {"axis": "channels", "start": -4, "step": 2}),
    ("channel_shuffle", {"groups": 3})])
def test_moments_behind_layers(op, attributes):
    """Against those of many numbers."""
    mean, deviation = np.linspace(-1, 1, 6), np.linspace(0.3, 1.2, 6)
    arrays = {"a": np.linspace(-0.5, 1, 6, dtype=np.float32)}
    node = Node("layer", op, ["before"], attributes)
    numbers = np.random.RandomState(1).randn(200000, 1, 1, 6) * deviation + mean
    expected = twin.OPERATIONS[op](node, numbers, arrays)
    found = compress._passed_on(node, [compress._Moments(mean, deviation ** 2)], arrays)
    np.testing.assert_allclose(found.mean, expected.mean(axis=(0, 1, 2)), atol=0.02)
    np.testing.assert_allclose(found.variance, expected.var(axis=(0, 1, 2)), atol=0.03)


def test_moments_that_are_not_known():
    for op, attributes in [("activation", {"function": "square"}), ("transpose", {}),
                           ("concat", {"axis": "height"})]:
        node = Node("layer", op, ["before"], attributes)
        assert compress._passed_on(node, [compress._Moments(np.zeros(2), np.ones(2))], {}) is None
