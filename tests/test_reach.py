"""The script that says which networks are reached: it must see what is wrong."""
import os
import sys

import numpy as np
import pytest
from keras_files import small_archive, small_model
from onnx_files import Graph, saved
from oracle import twin
from pytorch_files import small_resnet, small_vgg, write

from gear_transfer.features.backbone import Backbone
from gear_transfer.features.precision import fast_precisions
from gear_transfer.importers import Network, Node, load_network

BENCHMARKS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks")


@pytest.fixture
def reach(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import reach
    return reach


@pytest.fixture
def measuring(reach):
    from architectures import measure
    return measure


def small():
    random = np.random.RandomState(0)
    arrays = {"kernel": random.normal(size=(3, 3, 3, 8)).astype(np.float32),
              "matrix": random.normal(size=(8, 6)).astype(np.float32)}
    nodes = [Node("image", "input", [], {"channels": 3}),
             Node("conv", "conv2d", ["image"], {"kernel": "kernel", "strides": [2, 2],
                                                "padding": "same"}),
             Node("pool", "global_average_pool", ["conv"]),
             Node("dense", "dense", ["pool"], {"kernel": "matrix"})]
    return Network("small", nodes, arrays, None, "tf")


def truth(network, images):
    """What the core itself computes, in the arrangement of PyTorch."""
    backbone = Backbone.from_network(network, "small", layer=("conv", "dense"), pooling=None,
                                     input_size=images.shape[1:3])
    maps, vectors = backbone.features(images)
    return {"conv": maps.transpose(0, 3, 1, 2).copy(), "dense": vectors.copy()}


def test_a_network_that_is_right(measuring):
    images = measuring.pictures((21, 16), 2, seed=1)
    row = measuring.measure(small(), images, truth(small(), images), with_auto=True)
    assert row["wrong"] == [] and row["error"] == 0.0 and row["taps"] == 2
    assert row["auto"] in fast_precisions() and row["auto_cosine"] > 0.99
    assert ("cosine" in row) == ("bf16" in fast_precisions())


@pytest.mark.parametrize("layer", ["conv", "dense"])
@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_a_wrong_number_is_seen(measuring, layer, change):
    images = measuring.pictures((21, 16), 2, seed=1)
    wanted = truth(small(), images)
    wanted[layer].flat[5] += change * np.abs(wanted[layer]).max()
    row = measuring.measure(small(), images, wanted)
    assert row["where"] == layer and len(row["wrong"]) == 1


def test_a_result_of_another_shape_is_wrong(measuring):
    images = measuring.pictures((21, 16), 2, seed=1)
    wanted = truth(small(), images)
    wanted["conv"] = wanted["conv"][:, :, :-1]
    assert measuring.measure(small(), images, wanted)["error"] == np.inf


def test_the_last_line_counts_what_was_reached(reach):
    rows = [{"architecture": "a:b", "kind": "h5", "size": "1x1", "error": 1e-6, "cosine": 0.9995,
             "wrong": []},
            {"architecture": "a:b", "kind": "keras", "size": "1x1", "error": 1e-2,
             "wrong": ["error"]},
            {"architecture": "a:c", "kind": "h5", "size": "", "wrong": ["refused"]}]
    text = reach.summary(rows)
    assert "1 architectures reached in 1 files" in text and "1 h5" in text and "0 keras" in text
    assert "2 rows wrong" in text and "error 1.0e-06, least cosine in bf16 0.99950" in text


def test_every_architecture_has_its_kinds(reach):
    names = reach.architectures.names()
    assert len(names) == len(set(names)) >= 76
    assert set(sum([reach.architectures.kinds_of(name) for name in names], ())) == set(
        reach.architectures.KINDS)
    assert reach.architectures.SAFETENSORS <= set(names)


# A sample of what the script does, with files made without the libraries


def convolutional_onnx(folder):
    g = Graph(("batch", 3, "height", "width"))
    x = g.add("Relu", g.conv(8, strides=[2, 2]))
    gate = g.add("Sigmoid", g.conv(8, 8, 1, "gate", g.add("GlobalAveragePool", x)))
    x = g.add("Mul", x, gate)
    x = g.add("HardSwish", g.add("Add", x, g.conv(8, 1, name="depthwise", source=x, group=8)))
    g.linear(8, 5, g.add("Flatten", g.add("GlobalAveragePool", x)))
    return saved(folder, g.model())


def attentive_onnx(folder):
    g = Graph(("batch", 3, 12, 8), opset=23)
    x = g.add("Conv", "image", g.tensor((8, 3, 4, 4)), g.tensor((8,)), strides=[4, 4], name="patches")
    x = g.add("Transpose", g.add("Reshape", x, g.ints(0, 8, -1)), perm=[0, 2, 1])
    x = g.add("Add", x, g.tensor((1, 6, 8)))
    y = g.add("LayerNormalization", x, g.tensor((8,)), g.tensor((8,)))
    q, k, v = (g.linear(8, 8, y) for _ in range(3))
    x = g.add("Add", x, g.add("Attention", q, k, v, q_num_heads=2, kv_num_heads=2))
    g.add("ReduceMean", g.add("Gelu", g.linear(8, 6, x)), g.ints(1), keepdims=0)
    return saved(folder, g.model())


SAMPLE = {
    "h5": lambda folder: small_model(str(folder / "m.h5")),
    "keras": lambda folder: small_archive(str(folder / "m.keras")),
    "onnx, convolutions": convolutional_onnx,
    "onnx, attention": attentive_onnx,
    "safetensors, resnet": lambda folder: write(folder / "m.safetensors", small_resnet()),
    "safetensors, vgg": lambda folder: write(folder / "m.safetensors", small_vgg())}


@pytest.mark.parametrize("kind", sorted(SAMPLE))
def test_small_files_of_each_kind_on_the_core(measuring, tmp_path, kind):
    network = load_network(SAMPLE[kind](tmp_path), preprocessing="tf")
    own = network.input_size or (64, 64)
    is_fixed = "size" in network.nodes[0].attributes
    for size in [own] + [(own[0] + 5, own[1] + 2)] * (not is_fixed):
        images = measuring.pictures(size, 2, seed=1)
        wanted = twin.run(network, images)
        layers = [name for name in network.layers[1:]][-60:]
        row = measuring.measure(network, images, dict((name, wanted[name]) for name in layers),
                                with_auto=True)
        assert row["wrong"] == [] and row["taps"] == len(layers)
