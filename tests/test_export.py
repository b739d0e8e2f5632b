"""Classifiers written for other programs: ONNX Runtime must say what the core says."""
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import gear_transfer as gt
from conftest import ROOT
from gear_transfer import cli
from gear_transfer.exporters.keras_file import keras_bytes
from gear_transfer.exporters.keras_order import keras_order
from gear_transfer.exporters.onnx_model import onnx_bytes
from gear_transfer.importers import Network, Node, load_network

sys.path.insert(0, os.path.join(ROOT, "tests", "oracle"))
import networks  # noqa: E402
import twin  # noqa: E402

FACTS = {"input": {"shape": ["n", "height", "width", "channels"]}, "output": {"shape": ["n", "d"]}}


def run_onnx(model, pixels):
    """Results (n, d) of a path or the bytes of a model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": pixels})[0]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return gt.load_folder(gt.make_shapes(tmp_path_factory.mktemp("export") / "shapes", per_class=8,
                                         size=64, random_state=3))


def fit(images, **parameters):
    settings = dict(precision="float32", epochs=20, cache=False, verbose=0, threads=1, input_size=64)
    settings.update(parameters)
    return gt.TransferClassifier(**settings).fit(images)


def pixels_of(model, paths):
    return np.stack([gt.read_image(path, model.extractor_.backbone_.input_size,
                                   model.extractor_.resize_rule()) for path in paths])


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [
    {}, {"backbone": "efficientnet_lite2", "hidden_layers": (9,), "input_size": (64, 96)},
    {"backbone": "inception_v3", "layer": ("mixed0", "mixed3"), "input_size": 96, "pooling": "max"},
    {"backbone": "inception_v3", "layer": "mixed0", "input_size": 40, "pooling": None,
     "preprocessing": "caffe"}], ids=["lite0", "lite2", "inception", "maps"])
def test_onnx_runtime_says_the_same(images, tmp_path, parameters):
    model = fit(images, **parameters)
    files = gt.export(model, tmp_path / "model.onnx")
    assert files == [str(tmp_path / "model.onnx"), str(tmp_path / "model.json")]
    found = run_onnx(files[0], pixels_of(model, images.paths))
    expected = model.predict_proba(images.paths)
    assert found.dtype == np.float32 and expected.max() > 0.7
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(found, expected, atol=5e-5)


@pytest.mark.parametrize("suffix", ["onnx", "keras"])
def test_what_is_written_can_be_read_back(images, tmp_path, suffix):
    model = fit(images)
    gt.export(model, tmp_path / ("model." + suffix))
    backbone = gt.Backbone.load(tmp_path / ("model." + suffix), layer=load_network(
        tmp_path / ("model." + suffix)).layers[-1], input_size=64)
    pixels = pixels_of(model, images.paths[:6])
    assert backbone.preprocessing == {"scale": 1.0, "offset": 0.0}
    np.testing.assert_allclose(backbone.features(pixels), model.predict_proba(images.paths[:6]),
                               atol=1e-5)


def test_what_the_file_says_of_itself(images, tmp_path):
    model = fit(images, backbone="inception_v3", layer="mixed0", input_size=(40, 64), resize="pad")
    files = gt.export(model, str(tmp_path / "model.onnx"))
    with open(files[1], encoding="utf-8") as stream:
        facts = json.load(stream)
    assert facts["labels"] == ["circle", "square", "triangle"]
    assert facts["input"]["shape"] == ["n", 40, 64, 3] and facts["input"]["channels"] == "RGB"
    assert facts["resize"] == {"rule": "pad", "filter": "bicubic", "crop": 1.0}
    written = onnx.load(files[0])
    assert dict((each.key, json.loads(each.value)) for each in written.metadata_props) == facts
    onnx.checker.check_model(written, full_check=True)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed):
    """Every operation but attention, with every kind of padding, stride and dilation."""
    network, size, _ = networks.make(seed)
    channels = network.nodes[0].attributes["channels"]
    pixels = np.random.RandomState(seed).randint(0, 256, (2,) + size + (channels,)).astype(np.uint8)
    results = twin.run(network, pixels)
    name = network.nodes[-1].name
    sub = network.upto(name)
    shapes = dict((node.name, results[node.name].shape[1:]) for node in sub.nodes)
    if any(node.op == "attention" for node in sub.nodes):
        with pytest.raises(gt.GraphError, match="operation 'attention'"):
            onnx_bytes(sub, shapes, FACTS)
        return
    found = run_onnx(onnx_bytes(sub, shapes, FACTS), pixels)
    expected = results[name].transpose(0, 3, 1, 2).reshape(2, -1)
    spread = np.abs(expected).max()
    found = np.broadcast_to(found, expected.shape)  # of constants alone the result is one for all
    np.testing.assert_allclose(found / spread, expected / spread, atol=2e-5)


def one(op, attributes=None, inputs=1, arrays=None):
    """A network of one operation on pixels from -1.5 to 1.5, which it may read twice."""
    nodes = [Node("images", "input", (), {"channels": 3}),
             Node("x", op, ("images",) * inputs, attributes)]
    return Network("one", nodes, arrays or {}, (4, 5), {"scale": 3 / 255, "offset": -1.5})


ALPHA = {"a": np.array([0.5, 2.0, -1.0], np.float32)}


def erf(x):
    import math
    return np.vectorize(math.erf)(x)


@pytest.mark.parametrize("network, expected", [
    (one("activation", {"function": "leaky_relu"}), lambda x: np.where(x < 0, 0.01 * x, x)),
    (one("activation", {"function": "leaky_relu", "alpha": 0.3}), lambda x: np.where(x < 0, 0.3 * x, x)),
    (one("activation", {"function": "elu"}), lambda x: np.where(x < 0, np.expm1(x), x)),
    (one("activation", {"function": "gelu"}), lambda x: x / 2 * (1 + erf(x / np.sqrt(2)))),
    (one("activation", {"function": "gelu_tanh"}),
     lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))),
    (one("activation", {"function": "silu"}), lambda x: x / (1 + np.exp(-x))),
    (one("activation", {"function": "hard_sigmoid"}), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (one("activation", {"function": "hard_sigmoid", "alpha": 0.5, "beta": 0.4}),
     lambda x: np.clip(x / 2 + 0.4, 0, 1)),
    (one("activation", {"function": "hard_swish"}), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (one("activation", {"function": "mish"}), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (one("activation", {"function": "softplus"}), lambda x: np.log1p(np.exp(x))),
    (one("activation", {"function": "softsign"}), lambda x: x / (1 + np.abs(x))),
    (one("activation", {"function": "tanh"}), np.tanh), (one("activation", {"function": "exp"}), np.exp),
    (one("activation", {"function": "abs"}), np.abs), (one("activation", {"function": "square"}), np.square),
    (one("activation", {"function": "sigmoid"}), lambda x: 1 / (1 + np.exp(-x))),
    (one("clip", {"max_value": 0.5}), lambda x: np.minimum(x, 0.5)),
    (one("clip", {"min_value": -0.2, "max_value": 0.5}), lambda x: np.clip(x, -0.2, 0.5)),
    (one("prelu", {"alpha": "a"}, arrays=ALPHA), lambda x: np.where(x < 0, x * ALPHA["a"], x)),
    (one("scale", {"gamma": "a"}, arrays=ALPHA), lambda x: x * ALPHA["a"]),
    (one("multiply", inputs=2), np.square), (one("subtract", inputs=2), lambda x: 0 * x),
    (one("divide", inputs=2), lambda x: x / x), (one("maximum", inputs=2), lambda x: x),
    (one("minimum", inputs=2), lambda x: x),
    (one("concat", {"axis": "height"}, inputs=2), lambda x: np.concatenate([x, x], axis=1)),
    (one("pad", {"padding": [1, 2, 0, 3], "value": -4.0}),
     lambda x: np.pad(x, ((0, 0), (1, 0), (2, 3), (0, 0)), "constant", constant_values=-4.0)),
    (one("flatten"), lambda x: x.reshape(2, 1, 1, -1)),
    (one("flatten", {"channels_first": True}), lambda x: x.transpose(0, 3, 1, 2).reshape(2, 1, 1, -1)),
], ids=lambda each: each.nodes[1].op if isinstance(each, Network) else "")
def test_single_operations(network, expected):
    pixels = np.random.RandomState(0).randint(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    found = run_onnx(onnx_bytes(network, {}, FACTS), pixels)
    wanted = expected(pixels * (3 / 255) - 1.5).transpose(0, 3, 1, 2).reshape(2, -1)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("padding", ["valid", [1, 1, 0, 0], [1, 0, 1, 1]])
@pytest.mark.parametrize("op, attributes", [
    ("max_pool", {}), ("average_pool", {}), ("average_pool", {"count_include_padding": True})])
def test_windows_that_reach_over_the_edge(op, attributes, padding):
    network = one(op, dict(attributes, pool_size=[3, 2], strides=[2, 2], padding=padding, ceil_mode=True))
    pixels = np.random.RandomState(0).randint(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    results = twin.run(network, pixels)
    found = run_onnx(onnx_bytes(network, {"images": (4, 5, 3)}, FACTS), pixels)
    np.testing.assert_allclose(found, results["x"].transpose(0, 3, 1, 2).reshape(2, -1), atol=2e-6)


def test_an_operation_that_is_not_exported():
    with pytest.raises(gt.GraphError, match="node 'x' has the operation 'attention'"):
        onnx_bytes(one("attention", {"heads": 1, "scale": 1.0}), {}, FACTS)


def test_what_keeps_a_file_from_being_written(images, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="must end in .onnx or .keras"):
        gt.export(gt.TransferClassifier(), tmp_path / "model.pb")
    with pytest.raises(ValueError, match="not fitted"):
        gt.export(gt.TransferClassifier(), tmp_path / "model.onnx")
    model = fit(images, backbone="inception_v3", layer="mixed0", input_size=32)
    with pytest.raises(gt.ModelFileError, match="none"):
        gt.export(model, tmp_path / "none" / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install \"gear-transfer\[onnx\]\""):
        gt.export(model, tmp_path / "model.onnx")
    assert os.listdir(str(tmp_path)) == []


def test_on_the_command_line(images, tmp_path, capsys):
    path = str(tmp_path / "m.gtm")
    model = fit(images, backbone="inception_v3", layer="mixed0", input_size=32)
    model.save(path)
    assert cli.main(["export", path, str(tmp_path / "m.onnx"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [os.path.basename(each["path"]) for each in files] == ["m.onnx", "m.json"]
    assert files[0]["bytes"] == os.path.getsize(str(tmp_path / "m.onnx"))
    assert cli.main(["export", path, str(tmp_path / "m.onnx")]) == 0
    assert capsys.readouterr().out.startswith("{}: {:,} bytes\n".format(
        tmp_path / "m.onnx", files[0]["bytes"]))
    assert cli.main(["export", path, str(tmp_path / "m.txt")]) == 1
    assert "must end in .onnx or .keras" in capsys.readouterr().err


# Keras; that Keras itself says the same is shown by benchmarks/export.py

@pytest.mark.slow
@pytest.mark.parametrize("parameters", [
    {}, {"backbone": "inception_v3", "layer": ("mixed0", "mixed3"), "input_size": 96, "pooling": "max"},
    {"backbone": "inception_v3", "layer": "mixed0", "input_size": 40, "pooling": None,
     "preprocessing": "caffe"}], ids=["lite0", "inception", "maps"])
def test_a_file_for_keras(images, tmp_path, parameters):
    """Read back by the importer, which goes by Keras's own files."""
    model = fit(images, **parameters)
    files = gt.export(model, tmp_path / "m.keras")
    assert [os.path.basename(path) for path in files] == ["m.keras", "m.json"]
    size = model.extractor_.backbone_.input_size
    network = gt.importers.load_network(files[0])
    backbone = gt.Backbone.load(files[0], layer=network.layers[-1], pooling=None, input_size=size,
                                preprocessing="raw")
    found = backbone.features(pixels_of(model, images.paths)).reshape(len(images), -1)
    np.testing.assert_allclose(found, model.predict_proba(images.paths), atol=5e-5)


def test_layers_are_counted_as_keras_counts_them():
    """The order that Keras 3.15 gave a model whose branches are of different lengths."""
    inputs = {"in": [], "a1": ["in"], "a2": ["a1"], "b1": ["in"], "c": ["a2", "b1"], "d1": ["c"],
              "sum": ["c", "d1"]}
    assert keras_order(inputs, "sum") == ["in", "a1", "a2", "b1", "c", "d1", "sum"]
    assert keras_order(dict(inputs, c=["b1", "a2"]), "sum") == ["in", "a1", "b1", "a2", "c", "d1", "sum"]


@pytest.mark.parametrize("network, what", [
    (one("prelu", {"alpha": "a"}, arrays=ALPHA), "the operation 'prelu'"),
    (one("activation", {"function": "leaky_relu"}), "the function"),
    (one("max_pool", {"pool_size": [2, 2], "strides": [1, 1], "padding": [1, 0, 0, 0]}), "the padding")])
def test_what_keras_files_cannot_hold(network, what):
    with pytest.raises(gt.GraphError, match="node 'x' has " + what):
        keras_bytes(network, {}, FACTS)


def test_equal_models_are_equal_files():
    network = one("relu")
    assert keras_bytes(network, {}, FACTS) == keras_bytes(network, {}, FACTS)
