"""Transformers through the package: position embeddings, files, compression, what is refused."""
import importlib.util
import os

import numpy as np
import pytest
from PIL import Image

from gear_transfer import Backbone
from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import Network, Node
from gear_transfer.importers.compress import compress
from gear_transfer.importers.native import read_network, write_network

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle")


def load_twin():
    spec = importlib.util.spec_from_file_location("twin", os.path.join(FOLDER, "twin.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_transformer(channels=32, heads=4, grid=(6, 6)):
    """Patches of four pixels, a position embedding and a block of windows, then one of all tokens."""
    random = np.random.RandomState(3)
    arrays = {}
    nodes = [Node("in", "input", (), {"channels": 3})]

    def array(name, *shape):
        arrays[name] = random.normal(size=shape, scale=shape[-2] ** -0.5 if len(shape) > 1 else 0.3
                                     ).astype(np.float32)
        return name

    def add(name, op, inputs, **attributes):
        nodes.append(Node(name, op, inputs, attributes))
        return name

    def project(name, source, width, out):
        return add(name, "conv2d", [source], kernel=array(name + "/k", 1, 1, width, out),
                   bias=array(name + "/b", out), strides=[1, 1], padding="valid")

    x = add("patches", "conv2d", ["in"], kernel=array("patches/k", 4, 4, 3, channels),
            strides=[4, 4], padding="valid")
    x = add("places", "position_embedding", [x], value=array("places/v", grid[0], grid[1], channels))
    for i, window in enumerate([{"window": [4, 3], "shift": [2, 1]}, {}]):
        block = "block{}".format(i)
        y = add(block + "_norm", "layer_norm", [x], epsilon=1e-6,
                gamma=array(block + "/gamma", channels), beta=array(block + "/beta", channels))
        y = project(block + "_qkv", y, channels, 3 * channels)
        if window:
            window = dict(window, value=array(block + "/v", heads, 12, 12),
                          bias=array(block + "/pad", 3 * channels))
        y = add(block + "_attention", "attention", [y], heads=heads,
                scale=(channels // heads) ** -0.5, **window)
        x = add(block, "add", [x, project(block + "_out", y, channels, channels)])
    add("groups", "group_norm", [x], groups=4, epsilon=0.1)
    return Network("small", nodes, arrays, (24, 24), {"scale": 1 / 127.5, "offset": -1.0})


def photographs(height, width, count=3):
    return np.random.RandomState(4).randint(0, 256, (count, height, width, 3)).astype(np.uint8)


def features(network, layer, images, **settings):
    backbone = Backbone.from_network(network, "small", layer, images.shape[1:3], None, **settings)
    return backbone.features(images)


@pytest.mark.parametrize("size", [(24, 24), (28, 20), (48, 64)])
def test_a_transformer_at_several_sizes(size):
    network, images = small_transformer(), photographs(*size)
    expected = load_twin().run(network, images)
    for layer in ("places", "block0_attention", "groups"):
        found = features(network, layer, images, threads=2).reshape(expected[layer].shape)
        assert np.abs(found - expected[layer]).max() < 1e-5 * np.abs(expected[layer]).max()


@pytest.mark.parametrize("grid, size", [((7, 5), (4, 9)), ((3, 8), (12, 12)), ((14, 14), (5, 3))])
def test_embeddings_are_resampled_as_pillow_resamples(grid, size):
    value = np.random.RandomState(5).normal(size=grid + (2,)).astype(np.float32)
    network = Network("places", [Node("in", "input", (), {"channels": 2}),
                                 Node("places", "position_embedding", ["in"], {"value": "v"})],
                      {"v": value}, size, {"scale": 1.0, "offset": 0.0})
    found = Backbone.from_network(network, "places", "places", size, None).features(
        np.zeros((1,) + size + (2,), np.uint8)).reshape(size + (2,))
    for channel in range(2):
        expected = np.asarray(Image.fromarray(np.ascontiguousarray(value[..., channel])).resize(
            size[::-1], Image.BICUBIC))
        assert np.abs(found[..., channel] - expected).max() < 2e-6


def test_a_transformer_is_the_same_from_a_file(tmp_path):
    network, images = small_transformer(), photographs(24, 24)
    path = str(tmp_path / "small.gtw")
    write_network(path, network)
    again = read_network(path)
    assert [node.attributes for node in again.nodes] == [node.attributes for node in network.nodes]
    assert np.array_equal(features(network, "groups", images), features(again, "groups", images))


def test_compression_knows_what_a_norm_hands_on():
    """The kernel behind a norm is rounded by the norm's gamma and beta: its error nearly cancels out."""
    network = small_transformer(channels=160, heads=4)
    beta = network.arrays["block1/beta"]
    beta[:] = 2.0 + np.random.RandomState(6).rand(len(beta))
    kernel = network.arrays["block1_qkv/k"][0, 0]
    rounded = compress(network)["block1_qkv/k"].dequantize()[0, 0]
    nearest = compress(Network("plain", [
        Node("in", "input", (), {"channels": 160}), Node("r", "relu", ["in"]),
        Node("c", "conv2d", ["r"], {"kernel": "k", "strides": [1, 1], "padding": "valid"})],
        {"k": network.arrays["block1_qkv/k"]}, (4, 4), network.preprocessing))["k"].dequantize()[0, 0]
    error, other = (np.abs(beta.dot(each - kernel)).mean() for each in (rounded, nearest))
    assert error < 0.2 * other


def wrong(op, inputs=("in",), arrays=None, **attributes):
    nodes = [Node("in", "input", (), {"channels": 12}), Node("wrong", op, inputs, attributes)]
    return Network("wrong", nodes, arrays or {}, (4, 4), {"scale": 1.0, "offset": 0.0})


@pytest.mark.parametrize("network, error, words", [
    (wrong("attention", heads=5, scale=1.0), GraphError, "5 heads"),
    (wrong("attention", heads=2, scale=1.0, window=[0, 2]), WeightsError, "window"),
    (wrong("attention", heads=2, scale=1.0, window=[2, 2], shift=[-1, 0]), WeightsError, "shift"),
    (wrong("attention", heads=2, scale=1.0, window=[2, 2], shift=[2, 0]), GraphError, "shifted"),
    (wrong("attention", ("in", "in"), heads=2, scale=1.0), GraphError, "one input or three"),
    (wrong("attention", heads=2, scale=0.0), WeightsError, "scale"),
    (wrong("attention", arrays={"v": np.zeros((2, 4, 4), np.float32)}, heads=2, scale=1.0,
           value="v"), GraphError, "(2, 16, 16)"),
    (wrong("attention", arrays={"b": np.zeros(5, np.float32)}, heads=2, scale=1.0, bias="b"),
     GraphError, "(12,)"),
    (wrong("layer_norm", arrays={"g": np.ones(5, np.float32)}, epsilon=1e-6, gamma="g"),
     GraphError, "gamma"),
    (wrong("group_norm", groups=5, epsilon=1e-6), GraphError, "5 groups"),
    (wrong("position_embedding", arrays={"v": np.zeros((2, 2, 5), np.float32)}, value="v"),
     GraphError, "(height, width, 12)"),
])
def test_what_is_refused(network, error, words, tmp_path):
    with pytest.raises(error) as caught:
        path = str(tmp_path / "wrong.gtw")
        write_network(path, network)
        Backbone.from_network(read_network(path), "wrong", "wrong", (4, 4), None)
    assert words in str(caught.value) and "wrong" in str(caught.value)
