"""The right pixels: what a network wants to see, who says it, and that it sees that."""
import concurrent.futures
import json
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from gear_transfer import (Backbone, FeatureExtractor, TransferClassifier, WeightsError, _core,
                           convert, load_folder, load_model, make_shapes, read_image)
from gear_transfer.cli import main
from gear_transfer.features.settings import resize_rule
from gear_transfer.importers import load_network
from gear_transfer.importers.keras_families import FAMILIES, recognise
from gear_transfer.importers.native import write_network
from gear_transfer.importers.network import Network, Node
from gear_transfer.importers.preprocessing import USUAL, from_statistics, resolve, to_text
from gear_transfer.importers.safetensors import read_header
from gear_transfer.importers.weights import packaged_path
from gear_transfer.photographs.decoding import Resize
from keras_files import conv, image, layer, model_config, small_model, write_model

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle"))

import twin  # noqa: E402

PIXELS = np.random.RandomState(0).randint(0, 256, (9, 32, 32, 3)).astype(np.uint8)

BY_CHANNEL = {"scale": [0.017, 0.0175, 0.0174], "offset": [-2.1, -2.0, -1.8], "channels": "bgr"}


# What a preprocessing is

def keras_pixels(name, images):
    """What ``keras.applications`` makes of images, by its own formulas."""
    images = images.astype(np.float64)
    if name == "caffe":
        return images[..., ::-1] - [103.939, 116.779, 123.68]
    if name == "torch":
        return (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return images / 127.5 - 1 if name == "tf" else images


@pytest.mark.parametrize("name", sorted(USUAL))
def test_the_usual_ways(name):
    np.testing.assert_allclose(twin.pixels(PIXELS, resolve(name)), keras_pixels(name, PIXELS),
                               atol=1e-6)
    assert to_text(resolve(name)).startswith("'{}': ".format(name))
    resolve(name)["scale"] = 3.0   # a copy
    assert resolve(name)["scale"] != 3.0


def test_what_is_equal_is_equal():
    assert resolve({"scale": [1, 1, 1], "offset": 0, "channels": "rgb"}) == resolve("raw")
    assert resolve({"scale": np.float32(2), "offset": (0.0, 1.0, 2.0)}) == {
        "scale": 2.0, "offset": [0.0, 1.0, 2.0]}
    assert from_statistics(0.5, (0.5, 0.5, 0.5), resize_filter="bicubic", crop=0.875) == {
        "scale": 1 / 127.5, "offset": -1.0, "resize_filter": "bicubic", "crop": 0.875}
    assert "RGB, uint8 * 2 + (0, 1, 2)" == to_text({"scale": 2.0, "offset": [0.0, 1.0, 2.0]})


@pytest.mark.parametrize("change, key", [
    ({"scale": "x"}, "scale"), ({"scale": [1.0, 2.0]}, "scale"), ({"scale": None}, "scale"),
    ({"offset": float("nan")}, "offset"), ({"offset": [0, 0, True]}, "offset"),
    ({"offset": 10 ** 400}, "offset"), ({"scale": 1e39}, "scale"),
    ({"channels": "rbg"}, "channels"), ({"channels": []}, "channels"),
    ({"resize_filter": "cubic"}, "resize_filter"), ({"crop": 0}, "crop"), ({"crop": 1.5}, "crop"),
    ({"crop": "1"}, "crop"), ({"mean": 0.0}, "mean")])
def test_errors_name_the_key(change, key):
    with pytest.raises(WeightsError, match="^here.*'{}'".format(key)):
        resolve(dict({"scale": 1.0, "offset": 0.0}, **change), "here")


def test_errors_of_other_things():
    for wrong in ("imagenet", 3, None, [1.0, 0.0]):
        with pytest.raises(WeightsError, match="'tf', 'caffe', 'torch', 'raw'"):
            resolve(wrong)
    with pytest.raises(WeightsError, match="no 'offset'"):
        resolve({"scale": 1.0})
    with pytest.raises(WeightsError, match="std"):
        from_statistics(0.5, 0.0)


# What the core makes of it

def small_network(preprocessing, channels=3, **settings):
    """One convolution, by default without padding."""
    random = np.random.RandomState(1)
    attributes = {"kernel": "k", "bias": "b", "strides": [2, 2], "padding": "valid"}
    attributes.update(settings)
    arrays = {"k": random.randn(3, 3, channels, 16).astype(np.float32),
              "b": random.randn(16).astype(np.float32)}
    nodes = [Node("in", "input", (), {"channels": channels}), Node("c", "conv2d", ("in",), attributes)]
    return Network("small", nodes, arrays, (32, 32), preprocessing)


def with_reader(network, op):
    """The same network, with something else that reads the photographs."""
    if op == "pool":
        network.nodes[1:1] = [Node("p", "max_pool", ("in",), {"pool_size": [3, 3], "strides": [1, 1],
                                                              "padding": "same"})]
        network.nodes[2].inputs = ("p",)
    elif op == "norm":
        network.nodes[1:1] = [Node("n", "batch_norm", ("in",), {"mean": "m", "variance": "v",
                                                                "epsilon": 1e-3})]
        network.nodes[2].inputs = ("n",)
        network.arrays.update(m=np.array([1, 2, 3], np.float32), v=np.array([3, 2, 1], np.float32))
    elif op == "concat":
        network.nodes[1:1] = [
            Node("q", "average_pool", ("in",), {"pool_size": [3, 3], "strides": [1, 1],
                                                "padding": "same"}),
            Node("t", "concat", ("in", "q"))]
        network.nodes[3].inputs = ("t",)
        network.arrays["k"] = np.random.RandomState(2).randn(3, 3, 6, 16).astype(np.float32)
    else:
        network.nodes.append(Node("d", "conv2d", ("in",), dict(network.nodes[1].attributes,
                                                               padding="same")))
    return network


@pytest.mark.parametrize("precision, bound", [("float32", 1e-5), ("bf16", 0.02), ("int8", 0.04)])
@pytest.mark.parametrize("reader", [None, "same", "pool", "norm", "concat", "two"])
@pytest.mark.parametrize("preprocessing", ["caffe", "torch", BY_CHANNEL])
def test_features_are_those_of_the_twin(precision, bound, reader, preprocessing):
    if not _core.has_fast(precision):
        precision, bound = "float32", 1e-5
    network = small_network(preprocessing, padding="same" if reader == "same" else "valid")
    if reader not in (None, "same"):
        network = with_reader(network, reader)
    expected = twin.run(network, PIXELS)
    taps = [node.name for node in network.nodes[1:] if node.op == "conv2d"]
    for batch in (1, 4, 9):
        backbone = Backbone.from_network(network, "small", taps, 32, None, 2, precision)
        for tap, found in zip(taps, backbone.features(PIXELS[:batch])):
            error = np.abs(found - expected[tap][:batch]).max() / np.abs(expected[tap]).max()
            assert error < bound, (tap, batch, error)


def test_photographs_stay_bytes_in_int8():
    """What differs by channel becomes part of the kernel and of the shift."""
    if not _core.has_fast("int8"):
        with pytest.raises(ValueError, match="int8"):
            Backbone.from_network(small_network("torch"), "small", "c", 32, None, 1, "int8")
        return
    backbone = Backbone.from_network(small_network("torch"), "small", "c", 32, None, 1, "int8")
    backbone.features(PIXELS)
    layer, operation, implementation = backbone.primitives()[0]
    assert (layer, operation) == ("c", "convolution") and "int8" in implementation


def test_networks_of_other_channels_cannot_differ_by_channel():
    network = small_network("tf", channels=4)
    images = np.zeros((1, 32, 32, 4), np.uint8)
    assert Backbone.from_network(network, "small", "c").features(images).shape == (1, 16)
    network.preprocessing = resolve("torch")
    with pytest.raises(ValueError, match="3 channels"):
        Backbone.from_network(network, "small", "c").features(images)


# What Keras's own networks want

def weights_of(layers, seed=0):
    """Random weights for Conv2D and BatchNormalization layers, in the order of a file."""
    random, channels, found = np.random.RandomState(seed), {}, []
    for entry in layers:
        name, kind, config = entry["name"], entry["class_name"], entry["config"]
        sources = [item[0] for call in entry["inbound_nodes"] for item in call]
        out = channels[sources[0]] if sources else 3
        if kind == "Conv2D":
            shape = tuple(config["kernel_size"]) + (out, config["filters"])
            arrays = {"kernel": random.randn(*shape) * np.prod(shape[:3]) ** -0.5}
            out = config["filters"]
            if config["use_bias"]:
                arrays["bias"] = random.randn(out) * 0.1
        elif kind == "BatchNormalization":
            arrays = {"gamma": random.rand(out) + 0.5, "beta": random.randn(out) * 0.1,
                      "moving_mean": random.randn(out) * 0.1, "moving_variance": random.rand(out) + 0.5}
        else:
            arrays = {}
            out = sum(channels[source] for source in sources) if kind == "Concatenate" else out
        channels[name] = out
        found.append((name, dict((key, array.astype(np.float32)) for key, array in arrays.items())))
    return found


def norm(name, source):
    return layer("BatchNormalization", name, [source], axis=3, epsilon=0.001)


def relu(name, source):
    return layer("Activation", name, [source], activation="relu")


def pool(name, source):
    return layer("MaxPooling2D", name, [source], pool_size=[2, 2], strides=[2, 2], padding="valid")


def vgg(filters=64):
    """The first three blocks of VGG16, named as Keras names them."""
    layers, last = [image(32, 32)], "input_1"
    for block, width, count in ((1, filters, 2), (2, 128, 2), (3, 256, 3)):
        for i in range(count):
            name = "block{}_conv{}".format(block, i + 1)
            layers.append(conv(name, last, width, use_bias=True, activation="relu"))
            last = name
        layers.append(pool("block{}_pool".format(block), last))
        last = "block{}_pool".format(block)
    return layers


def resnet():
    """The first block of ResNet50."""
    return [image(32, 32), layer("ZeroPadding2D", "conv1_pad", ["input_1"], padding=[[3, 3], [3, 3]]),
            conv("conv1_conv", "conv1_pad", 64, 7, strides=[2, 2], padding="valid", use_bias=True),
            norm("conv1_bn", "conv1_conv"), relu("conv1_relu", "conv1_bn"),
            pool("pool1_pool", "conv1_relu"),
            conv("conv2_block1_1_conv", "pool1_pool", 64, 1, use_bias=True),
            norm("conv2_block1_1_bn", "conv2_block1_1_conv"),
            relu("conv2_block1_1_relu", "conv2_block1_1_bn"),
            conv("conv2_block1_3_conv", "conv2_block1_1_relu", 256, 1, use_bias=True),
            conv("conv2_block1_0_conv", "pool1_pool", 256, 1, use_bias=True),
            layer("Add", "conv2_block1_add", ["conv2_block1_0_conv", "conv2_block1_3_conv"])]


def densenet():
    """The first block of DenseNet121 as Keras 2 names it."""
    return [image(32, 32), layer("ZeroPadding2D", "zero_padding2d_1", ["input_1"],
                                 padding=[[3, 3], [3, 3]]),
            conv("conv1/conv", "zero_padding2d_1", 64, 7, strides=[2, 2], padding="valid"),
            norm("conv1/bn", "conv1/conv"), relu("conv1/relu", "conv1/bn"), pool("pool1", "conv1/relu"),
            norm("conv2_block1_0_bn", "pool1"), relu("conv2_block1_0_relu", "conv2_block1_0_bn"),
            conv("conv2_block1_1_conv", "conv2_block1_0_relu", 128, 1),
            norm("conv2_block1_1_bn", "conv2_block1_1_conv"),
            relu("conv2_block1_1_relu", "conv2_block1_1_bn"),
            conv("conv2_block1_2_conv", "conv2_block1_1_relu", 32, 3),
            layer("Concatenate", "conv2_block1_concat", ["pool1", "conv2_block1_2_conv"], axis=3)]


def keras_file(path, layers):
    return write_model(path, model_config(layers), weights_of(layers))


@pytest.mark.parametrize("layers, name, reason", [
    (vgg(), "caffe", "VGG16"), (resnet(), "caffe", "ResNet"), (densenet(), "torch", "DenseNet")])
def test_keras_families_see_the_right_pixels(tmp_path, layers, name, reason):
    path = keras_file(tmp_path / "family.h5", layers)
    backbone = Backbone.load(path, layer=layers[-1]["name"])
    assert backbone.preprocessing == resolve(name) and reason in backbone.preprocessing_reason
    expected = twin.run(Network("raw", backbone.network.nodes, backbone.network.arrays, None, "raw"),
                        keras_pixels(name, PIXELS[:3]))[backbone.layer].mean(axis=(1, 2))
    found = backbone.features(PIXELS[:3])
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    wrong = Backbone.load(path, layer=layers[-1]["name"], preprocessing="tf")
    assert wrong.preprocessing_reason == "asked for"
    assert np.abs(wrong.features(PIXELS[:3]) - expected).max() > 0.1 * np.abs(expected).max()
    cut = load_network(path, layers[2]["name"])  # below what the family is known by
    assert cut.preprocessing == resolve(name)


def described(layers):
    """Nodes, and shapes of kernels, from (name, kernel shape or None)."""
    nodes, shapes, last = [Node("input", "input", (), {"channels": 3})], {}, "input"
    for name, shape in layers:
        attributes = {} if shape is None else {"kernel": name + "/kernel"}
        if shape is not None:
            shapes[name + "/kernel"] = tuple(8 if size is None else size for size in shape)
        nodes.append(Node(name, "conv2d" if shape else "relu", (last,), attributes))
        last = name
    return nodes, shapes


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_known(family):
    known = recognise(*described(family.layers))
    assert known == (family.preprocessing, "layers named as Keras's " + family.name)
    inside = [("model/" + name, shape) for name, shape in family.layers]
    assert recognise(*described(inside)) == known
    for name, shape in family.layers:  # each of its layers counts, and so does each shape
        others = [each for each in family.layers if each[0] != name]
        found = recognise(*described(others))
        assert found is None or found.reason != known.reason
        if shape is not None:
            wrong = [(each, (2, 2, 3, 5) if each == name else size) for each, size in family.layers]
            found = recognise(*described(wrong))
            assert found is None or found.reason != known.reason


@pytest.mark.slow
def test_inception_is_known_by_its_stem(shared):
    path = os.path.join(str(shared), "weights", "inception_v3_keras2_full.h5")
    network = load_network(path)
    assert network.preprocessing == resolve("tf")
    assert network.preprocessing_reason == "layers named as Keras's Inception V3"


def test_a_graph_that_scales_pixels_itself():
    nodes = [Node("in", "input", (), {"channels": 3}), Node("pad", "pad", ("in",), {}),
             Node("rescaling", "scale", ("pad",), {}), Node("c", "conv2d", ("rescaling",), {})]
    assert recognise(nodes, {}) == ("raw", "the graph scales pixels itself, by layer 'rescaling'")
    nodes.append(Node("d", "conv2d", ("pad",), {}))  # which reads them as they are
    assert recognise(nodes, {}) is None
    assert recognise(nodes[:1], {}) is None


# What nobody knows

def test_unknown_networks_are_a_question(tmp_path):
    for path in (small_model(tmp_path / "mine.h5"), keras_file(tmp_path / "other.h5", vgg(32))):
        assert load_network(path).preprocessing is None
        target = str(tmp_path / "never.gtw")
        for run in (lambda: Backbone.load(path), lambda: FeatureExtractor(path).fit(),
                    lambda: convert(path, target)):
            with pytest.raises(WeightsError) as caught:
                run()
            text = str(caught.value)
            assert text.startswith(path) and all("\n  '{}'".format(name) in text for name in USUAL)
            assert "preprocessing=" in text and "--preprocessing" in text
        assert not os.path.exists(target)
    with pytest.raises(WeightsError, match="does not say what pixels"):
        write_network(target, load_network(path))
    assert Backbone.load(path, preprocessing="raw").preprocessing == resolve("raw")


# What is kept

def test_native_files_keep_it(tmp_path):
    full = dict(BY_CHANNEL, resize_filter="lanczos", crop=0.9)
    for number, preprocessing in enumerate((full, "torch", "caffe", dict(resolve("tf"), crop=0.5))):
        path = str(tmp_path / "{}.gtw".format(number))
        network = small_network(preprocessing)
        write_network(path, network)
        again = load_network(path)
        assert again.preprocessing == network.preprocessing == resolve(preprocessing)
        assert again.fingerprint() == network.fingerprint()
        assert again.preprocessing_reason == "the file says so"
        assert version_of(path) == "3"  # which earlier releases refuse
        changed = load_network(path, preprocessing="raw")
        assert changed.preprocessing == resolve("raw") and changed.fingerprint() != again.fingerprint()
    write_network(path, small_network("tf"))
    assert version_of(path) == "1"


def version_of(path):
    with open(path, "rb") as stream:
        _, header = read_header(stream, os.path.getsize(path), pytest.fail)
    return header["__metadata__"]["version"]


def test_fingerprints_of_earlier_releases_stay():
    network = Network("n", [Node("in", "input", (), {"channels": 3})], {}, None,
                      {"scale": 1, "offset": 0})
    assert network.fingerprint() == (
        "267b4b08e4d5251e9cdb0c839710c06e8ff21e3bce7b8448a0ff3b9d853a3104")
    assert load_network(packaged_path("inception_v3")).fingerprint() == (
        "b4da8dbb34bddd7fef7dc019b4f15543c9d37b22078c871869e9545b3f9f0532")
    assert load_network(packaged_path("efficientnet_lite0")).fingerprint() == (
        "f2cb9e399b35ccd77ff134a49b7575dd9466939e953a3881ec9f4fa6509536f9")


def test_every_key_counts_for_the_fingerprint():
    found = [small_network(each).fingerprint() for each in (
        "tf", "torch", dict(resolve("torch"), channels="bgr"), dict(resolve("tf"), channels="bgr"),
        dict(resolve("tf"), resize_filter="lanczos"), dict(resolve("tf"), crop=0.9))]
    assert len(set(found)) == len(found)
    assert small_network(dict(resolve("tf"), channels="rgb")).fingerprint() == found[0]


def test_pickles_keep_it(tmp_path):
    path = small_model(tmp_path / "mine.h5")
    backbone = Backbone.load(path, preprocessing=BY_CHANNEL)
    again = pickle.loads(pickle.dumps(backbone))
    assert again.preprocessing == backbone.preprocessing == resolve(BY_CHANNEL)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return load_folder(make_shapes(tmp_path_factory.mktemp("pixels") / "shapes", per_class=8, size=40,
                                   random_state=0))


def test_classifiers_keep_it(shapes, tmp_path):
    path = small_model(tmp_path / "mine.h5")
    full = dict(BY_CHANNEL, resize_filter="box")
    model = TransferClassifier(path, layer="norm", epochs=3, preprocessing=full, cache=False,
                               validation_fraction=0)
    assert clone(model).preprocessing is not None and model.get_params()["preprocessing"] == full
    model.fit(shapes)
    expected = model.predict_proba(shapes.paths)
    model.save(tmp_path / "model.gtm")
    os.remove(path)
    loaded = load_model(tmp_path / "model.gtm")
    assert loaded.preprocessing == resolve(full)
    assert loaded.extractor_.backbone_.preprocessing == resolve(full)
    assert loaded.extractor_.resize_rule() == Resize("pad", "box", 1.0)
    np.testing.assert_array_equal(loaded.predict_proba(shapes.paths), expected)
    np.testing.assert_allclose(clone(loaded).set_params(layer="norm").fit(shapes).predict_proba(
        shapes.paths), expected, atol=1e-5)


# How photographs are resized

def test_the_filter_and_the_crop_of_the_network():
    network = small_network(dict(resolve("tf"), resize_filter="lanczos", crop=0.875))
    assert resize_rule(network, "pad") == Resize("pad", "lanczos", 1.0)
    assert resize_rule(network, "crop") == Resize("crop", "lanczos", 0.875)
    plain = small_network(dict(resolve("tf"), resize_filter="bicubic"))
    assert resize_rule(plain, "pad") == "pad" and resize_rule(plain, "crop") == "crop"
    picture = PIXELS[0]
    found = FeatureExtractor(Backbone.from_network(network, "small", "c", 16), resize="stretch").fit()
    wanted = np.asarray(Image.fromarray(picture).resize((16, 16), Image.LANCZOS, reducing_gap=3.0))
    np.testing.assert_array_equal(read_image(picture, 16, found.resize_rule()), wanted)
    np.testing.assert_array_equal(found.transform([picture]),
                                  found.backbone_.features(wanted[np.newaxis]))
    assert (wanted != read_image(picture, 16, "stretch")).any()


@pytest.mark.parametrize("size, crop, resized, box", [
    ((80, 40), 1.0, (40, 20), (10, 0, 30, 20)), ((40, 80), 0.5, (40, 80), (10, 30, 30, 50)),
    ((60, 60), 0.8, (25, 25), (2, 2, 22, 22)), ((10, 30), 1.0, (20, 60), (0, 20, 20, 40))])
def test_crops_from_the_middle(size, crop, resized, box):
    picture = Image.fromarray(np.random.RandomState(0).randint(
        0, 256, (size[1], size[0], 3)).astype(np.uint8))
    wanted = picture.resize(resized, Image.BICUBIC, reducing_gap=3.0) if resized != size else picture
    np.testing.assert_array_equal(read_image(picture, 20, Resize("crop", "bicubic", crop)),
                                  np.asarray(wanted.crop(box)))


def test_the_cache_knows_the_filter(tmp_path):
    """Features of one photograph by two filters are two."""
    path = str(tmp_path / "a.png")
    Image.fromarray(PIXELS[0]).save(path)
    found = []
    for name in ("bicubic", "box", "bicubic"):
        network = small_network(dict(resolve("tf"), resize_filter=name))
        backbone = Backbone.from_network(network, "small", "c", 16)
        found.append(FeatureExtractor(backbone, cache=str(tmp_path / "cache")).fit_transform([path]))
    assert (found[0] != found[1]).any() and (found[0] == found[2]).all()


# On the command line

def test_commands(tmp_path, capsys, shapes):
    path, target = small_model(tmp_path / "mine.h5"), str(tmp_path / "mine.gtw")
    assert main(["convert", path, target]) == 1
    assert "--preprocessing" in capsys.readouterr().err
    assert main(["convert", path, target, "--preprocessing", json.dumps(BY_CHANNEL)]) == 0
    assert load_network(target).preprocessing == resolve(BY_CHANNEL)
    with pytest.raises(SystemExit) as caught:
        main(["convert", path, target, "--preprocessing", "imagenet"])
    assert caught.value.code == 2 and "'caffe'" in capsys.readouterr().err
    folder = os.path.dirname(os.path.dirname(shapes.paths[0]))
    model = str(tmp_path / "model.gtm")
    assert main(["train", folder, model, "--backbone", path, "--preprocessing", "caffe", "--epochs",
                 "2", "--no-cache", "-q"]) == 0
    assert load_model(model).extractor_.backbone_.preprocessing == resolve("caffe")
    capsys.readouterr()


def test_check_says_what_is_assumed_and_why(tmp_path, capsys):
    family = keras_file(tmp_path / "family.h5", vgg())
    assert main(["check", "--backbone", family]) == 0
    output = capsys.readouterr().out
    assert "103.939" in output and "layers named as Keras's VGG16" in output
    assert main(["check", "--backbone", "efficientnet_lite0"]) == 0
    output = capsys.readouterr().out
    assert "the file says so" in output and "resize='stretch', bicubic filter" in output
    unknown = small_model(tmp_path / "mine.h5")
    assert main(["check", "--backbone", unknown]) == 1
    output = capsys.readouterr().out
    assert "wrong" in output and all("'{}'".format(name) in output for name in USUAL)
    assert main(["check", "--backbone", unknown, "--preprocessing", "torch", "--json"]) == 0
    findings = dict((each["name"], each) for each in json.loads(capsys.readouterr().out)["findings"])
    assert findings["pixels"]["detail"].endswith("asked for")
    assert main(["check", "--backbone", str(tmp_path / "none.h5")]) == 1
    assert "no such file" in capsys.readouterr().out


# Elsewhere

def test_workers_see_the_same_pixels(tmp_path):
    path = small_model(tmp_path / "mine.h5")
    picture = str(tmp_path / "a.png")
    Image.fromarray(PIXELS[0]).save(picture)
    settings = dict(layer="norm", precision="float32", cache=False,
                    preprocessing=dict(BY_CHANNEL, resize_filter="box"))
    expected = FeatureExtractor(path, **settings).fit_transform([picture])
    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        found = FeatureExtractor(path, executor=executor, **settings).fit_transform([picture])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
