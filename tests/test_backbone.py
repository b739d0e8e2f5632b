"""Backbone: loading, settings, images in, features out."""
import copy
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.base import clone

from conftest import HOME
from gear_transfer import (Backbone, FeatureExtractor, GraphError, TransferClassifier, WeightsError,
                           convert)
from gear_transfer.importers.weights import packaged_path
from keras_files import small_model

SIZE = 64


def pictures(n, height=SIZE, width=SIZE, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (n, height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def backbone():
    return Backbone.load(layer="mixed2", input_size=SIZE)


@pytest.fixture(scope="module")
def images():
    return pictures(33)


@pytest.fixture(scope="module")
def features(backbone, images):
    return backbone.features(images)


# Loading

def test_by_name_and_path(tmp_path, features, images):
    path = packaged_path("inception_v3")
    cut = str(tmp_path / "cut.gtw")
    convert(path, cut, layer="mixed2")
    for given in (path, pathlib.Path(path), cut, "inception_v3"):
        loaded = Backbone.load(given, layer="mixed2", input_size=SIZE)
        assert loaded.name == str(given)
        np.testing.assert_array_equal(loaded.features(images[:2]), features[:2])
    assert Backbone.load(cut).layers[-1] == "mixed2"
    assert Backbone.load(cut).layer == "mixed2" and Backbone.load(cut).input_size == (299, 299)


def test_defaults():
    loaded = Backbone.load()
    assert loaded.name == "efficientnet_lite0" and loaded.layer == "head"
    assert loaded.input_size == (224, 224) and loaded.pooling == "average"
    assert loaded.threads >= 1 and loaded.n_features == 1280 and loaded.shapes == [(1280,)]
    assert Backbone.load(layer="block3").name == "efficientnet_lite0"
    assert Backbone.load(layer="block20", quality="fast").name == "efficientnet_lite2"  # has it alone
    assert Backbone.load(layer="block3", quality="accurate").name == "efficientnet_lite2"
    assert Backbone.load(layer=("mixed3", "mixed5")).name == "inception_v3"
    assert Backbone.load(layer="mixed5", quality="fast").input_size == (299, 299)
    assert Backbone.load(input_size=(100, 120)).input_size == (100, 120)
    assert Backbone.load(input_size=np.int64(100)).input_size == (100, 100)
    assert type(Backbone.load(threads=np.int64(2)).threads) is int


def test_defaults_of_inception():
    loaded = Backbone.load("inception_v3")
    assert loaded.layer == "mixed4" and loaded.input_size == (128, 128)
    assert loaded.n_features == 768 and loaded.shapes == [(768,)]
    assert Backbone.load(packaged_path("inception_v3")).layer == "mixed4"
    assert Backbone.load(layer="mixed5").input_size == (299, 299)


@pytest.mark.parametrize("quality, backbone, block, side", [
    ("fast", "efficientnet_lite0", ("block10",), 160),
    ("balanced", "efficientnet_lite0", ("block10",), 256),
    ("accurate", "efficientnet_lite2", ("block14", "block19"), 288)])
def test_quality_sets_the_backbone(quality, backbone, block, side):
    loaded = Backbone.load(quality=quality)
    assert (loaded.name, loaded.layer) == (backbone, block + ("head",))
    assert loaded.input_size == (side, side)
    extractor = FeatureExtractor(quality=quality).fit()
    assert extractor.backbone_.name == backbone and extractor.backbone_.input_size == (side, side)
    assert TransferClassifier(quality=quality).make_parts()[0].quality == quality


@pytest.mark.parametrize("quality, layer, side", [("fast", ("mixed3", "mixed4"), 96),
                                                  ("balanced", ("mixed3", "mixed4"), 128),
                                                  ("accurate", ("mixed3", "mixed5"), 224)])
def test_quality_of_inception_sets_layer_and_size(quality, layer, side):
    loaded = Backbone.load("inception_v3", quality=quality)
    assert loaded.layer == layer and loaded.input_size == (side, side)
    assert Backbone.load("inception_v3", quality=quality, input_size=100).input_size == (100, 100)
    extractor = FeatureExtractor("inception_v3", quality=quality).fit()
    assert (extractor.backbone_.layer, extractor.backbone_.input_size) == (layer, (side, side))
    assert TransferClassifier(quality=quality).make_parts()[0].quality == quality
    copy = pickle.loads(pickle.dumps(loaded))
    assert (copy.layer, copy.input_size) == (layer, (side, side))


def test_default_layer_of_another_network(tmp_path):
    loaded = Backbone.load(small_model(tmp_path / "small.h5"), quality="fast", preprocessing="tf")
    assert loaded.layer == "norm" and loaded.input_size == (8, 8) and loaded.n_features == 4
    assert loaded.features(pictures(3, 8, 8)).shape == (3, 4)
    whole = Backbone.load(small_model(tmp_path / "small.h5"), layer="top", preprocessing="tf")
    assert whole.features(pictures(3, 8, 8)).shape == (3, 2)
    np.testing.assert_allclose(whole.features(pictures(3, 8, 8)).sum(axis=1), 1, rtol=1e-5)


def test_layers_and_summary(backbone):
    assert backbone.layers[0] == "input_1" and backbone.layers[-1] == "mixed7"
    assert "mixed2" in backbone.layers and len(set(backbone.layers)) == len(backbone.layers)
    lines = backbone.summary().splitlines()
    assert lines[0].startswith("Backbone inception_v3, tapped at mixed2 (average pooling)")
    assert lines[0].endswith("input 64 x 64")
    assert lines[2].startswith("pixels 'tf': -1 to 1") and lines[2].endswith("(the file says so)")
    rows = dict((line.split()[0], line.split()) for line in lines[4:])
    assert "mixed2" in rows and "mixed3" not in rows
    assert rows["conv2d_1"][-1] == "864" and rows["conv2d_1"][2:7] == "31 x 31 x 32".split()
    counts = [int(line.split()[-1].replace(",", "")) for line in lines[4:]]
    assert counts[-1] == sum(counts[:-1]) > 900000


def test_repr_and_fingerprint(backbone):
    assert repr(backbone) == ("Backbone('inception_v3', layer='mixed2', input_size=(64, 64), "
                              "pooling='average', threads={}, precision='float32')".format(
                                  backbone.threads))
    assert len(backbone.fingerprint()) == 64
    assert backbone.fingerprint() == Backbone.load(layer="mixed2", input_size=99).fingerprint()
    assert backbone.fingerprint() != Backbone.load(layer="mixed1").fingerprint()


# Features

def test_pooling(images):
    tapped = [Backbone.load(layer="mixed2", input_size=SIZE, pooling=pooling)
              for pooling in ("average", "max", None)]
    average, largest, maps = [each.features(images[:9]) for each in tapped]
    assert maps.shape == (9,) + tapped[2].shapes[0] and maps.shape[3] == 288
    assert tapped[2].n_features == np.prod(maps.shape[1:])
    np.testing.assert_allclose(average, maps.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(largest, maps.max(axis=(1, 2)))
    assert all(each.dtype == np.float32 for each in (average, largest, maps))


def test_several_layers(images, features):
    names = ("mixed2", "conv2d_1", "mixed0")   # in no order
    tapped = Backbone.load(layer=names, input_size=SIZE)
    results = tapped.features(images[:3])
    assert tapped.layer == names and tapped.shapes == [(288,), (32,), (256,)]
    assert tapped.n_features == 288 + 32 + 256
    assert isinstance(results, list)
    for name, result in zip(names, results):
        alone = Backbone.load(layer=name, input_size=SIZE).features(images[:3])
        np.testing.assert_allclose(result, alone, rtol=1e-5, atol=1e-5)
    single = Backbone.load(layer=["mixed2"], input_size=SIZE).features(images[:3])
    np.testing.assert_array_equal(single[0], features[:3])
    maps = Backbone.load(layer=list(names), input_size=SIZE, pooling=None).features(images[:2])
    assert [each.shape[1:3] for each in maps] == [(5, 5), (31, 31), (5, 5)]


def test_input_that_is_not_square():
    tapped = Backbone.load(layer="mixed0", input_size=(60, 100), pooling=None)
    images = pictures(3, 60, 100)
    maps = tapped.features(images)
    assert maps.shape == (3, 5, 10, 256)
    turned = Backbone.load(layer="mixed0", input_size=(100, 60), pooling=None)
    assert turned.features(pictures(2, 100, 60)).shape == (2, 10, 5, 256)
    np.testing.assert_array_equal(tapped.features(images[1:2])[0], maps[1])


def smallest(layer):
    size = 1
    while True:
        try:
            return Backbone.load(layer=layer, input_size=size)
        except GraphError as error:
            assert "too small" in str(error) or "not possible" in str(error), str(error)
        size += 1


@pytest.mark.parametrize("layer", ["mixed0", "mixed4", "mixed7"])
@pytest.mark.slow
def test_smallest_input(layer):
    tapped = smallest(layer)
    size = tapped.input_size[0]
    assert np.isfinite(tapped.features(pictures(2, size, size))).all()
    with pytest.raises(GraphError) as caught:
        Backbone.load(layer=layer, input_size=size - 1)
    assert "the input size is too small" in str(caught.value)
    assert "layer 'conv2d_" in str(caught.value) or "layer 'max_pool" in str(caught.value)


def test_how_the_images_lie_in_memory(backbone, images, features):
    five = images[:5]
    wider = np.zeros((5, SIZE, SIZE, 4), np.uint8)
    wider[..., :3] = five
    frozen = five.copy()
    frozen.flags.writeable = False
    flipped = np.ascontiguousarray(five[::-1, :, ::-1])[::-1, :, ::-1]
    for given in (wider[..., :3], frozen, flipped, np.asfortranarray(five),
                  np.repeat(five, 2, axis=0)[::2]):
        np.testing.assert_array_equal(backbone.features(given), features[:5])
    constant = np.broadcast_to(np.uint8(0), (2, SIZE, SIZE, 3))
    np.testing.assert_array_equal(backbone.features(constant)[0], backbone.features(
        np.zeros((1, SIZE, SIZE, 3), np.uint8))[0])


@pytest.mark.parametrize("dtype", [float, np.float32, np.int8, np.int64, bool, object, "U1"])
def test_images_of_another_type(backbone, dtype):
    with pytest.raises(TypeError) as caught:
        backbone.features(np.zeros((2, SIZE, SIZE, 3)).astype(dtype))
    assert "uint8" in str(caught.value) and str(np.dtype(dtype)) in str(caught.value)


@pytest.mark.parametrize("shape", [(2, SIZE, SIZE), (SIZE, SIZE, 3), (2, SIZE, SIZE, 1),
                                   (2, SIZE, SIZE + 1, 3), (2, 3, SIZE, SIZE), (0,), (),
                                   (1, 2, SIZE, SIZE, 3)])
def test_images_of_another_shape(backbone, shape):
    with pytest.raises(ValueError) as caught:
        backbone.features(np.zeros(shape, np.uint8))
    assert "(n, 64, 64, 3)" in str(caught.value) and str(shape) in str(caught.value)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 33])
def test_numbers_of_images(backbone, images, features, n):
    given = images[:n].copy()
    np.testing.assert_array_equal(backbone.features(given), features[:n])
    np.testing.assert_array_equal(given, images[:n])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_batches_change_nothing(images, features, threads):
    tapped = Backbone.load(layer="mixed2", input_size=SIZE, threads=threads)
    np.testing.assert_array_equal(tapped.features(images), features)
    for i in (0, 32):
        np.testing.assert_array_equal(tapped.features(images[i:i + 1])[0], features[i])


def test_several_callers_at_once(images, features):
    tapped = Backbone.load(layer="mixed2", input_size=SIZE, threads=2)
    results = [None] * 4

    def call(place):
        for _ in range(3):
            results[place] = tapped.features(images[place:place + 9])

    callers = [threading.Thread(target=call, args=(place,), daemon=True) for place in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(100)
        assert not caller.is_alive(), "callers that disturb each other may wait for ever"
    for place, result in enumerate(results):
        np.testing.assert_array_equal(result, features[place:place + 9])


FORK = """
import os
import numpy as np
from gear_transfer import Backbone, HeadClassifier
images = np.random.RandomState(0).randint(0, 256, (9, 64, 64, 3)).astype(np.uint8)
backbone = Backbone.load(layer="mixed0", input_size=64, threads=2)
before = backbone.features(images)
head = HeadClassifier(epochs=2, validation_fraction=0).fit(before, np.arange(9) % 2)
child = os.fork()
same = (np.array_equal(before, backbone.features(images))
        and np.isfinite(head.predict_proba(before)).all()
        and len(HeadClassifier(epochs=2, validation_fraction=0).fit(
            before, np.arange(9) % 2).history_["loss"]) == 2)
if child == 0:
    os._exit(7 if same else 1)
assert same
assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 7
assert np.array_equal(before, backbone.features(images))
print("done")
"""


def test_predict_fork_predict():
    result = subprocess.Popen([sys.executable, "-W", "ignore", "-c", FORK], cwd=HOME,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True)
    try:
        output, errors = result.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(result.pid, signal.SIGKILL)  # the children that hang hold the pipes
        result.communicate()
        raise
    assert output.decode().strip() == "done", errors.decode()


def test_pickle_copy_and_clone(backbone, images, features):
    again = pickle.loads(pickle.dumps(backbone))
    assert repr(again) == repr(backbone) and again is not backbone
    np.testing.assert_array_equal(again.features(images[:2]), features[:2])
    assert copy.deepcopy(backbone) is backbone
    assert clone(FeatureExtractor(backbone=backbone)).backbone is backbone
    maps = Backbone.load(layer=("mixed1", "mixed0"), input_size=(64, 70), pooling=None, threads=1)
    assert repr(pickle.loads(pickle.dumps(maps))) == repr(maps)


@pytest.mark.parametrize("layer, size, pooling", [
    ("mixed2", 64, "average"), ("mixed4", None, "average"), ("mixed7", 299, None),
    (("mixed0", "mixed5"), (101, 150), "max")])
def test_primitives(layer, size, pooling):
    """oneDNN falls back to its slow reference code without a word, if it is not looked at."""
    chosen = Backbone.load(layer=layer, input_size=size, pooling=pooling).primitives()
    assert len(chosen) > 20 and all(isinstance(each, tuple) and len(each) == 3 for each in chosen)
    assert ("conv2d_1", "convolution") in [each[:2] for each in chosen]
    assert not [each for each in chosen if "ref" in each[2]]


def test_profile(images, features):
    tapped = Backbone.load(layer="mixed2", input_size=SIZE, threads=2)
    rows = tapped.profile(images[:3], repeats=3)
    assert rows[0][:2] == ("input_1", "input")
    assert [row[:3] for row in rows[1:]] == tapped.primitives()
    assert all(0 < row.seconds < 10 for row in rows)
    by_operation = dict.fromkeys((row.operation for row in rows), 0)
    for row in rows:
        by_operation[row.operation] += row.seconds
    assert by_operation["convolution"] > 0.4 * sum(by_operation.values())
    np.testing.assert_array_equal(tapped.features(images), features)
    for arguments in ((images[:0],), (images, 0)):
        with pytest.raises(ValueError) as caught:
            tapped.profile(*arguments)
        assert "at least one image" in str(caught.value)
    with pytest.raises(ValueError):
        tapped.profile(images[:, 1:])


# Bad arguments

@pytest.mark.parametrize("settings, part", [
    ({"pooling": "mean"}, "pooling must be 'average', 'max' or None, not 'mean'"),
    ({"pooling": True}, "pooling must be"),
    ({"input_size": 0}, "input_size"), ({"input_size": -5}, "input_size"),
    ({"input_size": 2.5}, "input_size"), ({"input_size": (64,)}, "input_size"),
    ({"input_size": (64, 64, 3)}, "input_size"), ({"input_size": "64"}, "input_size"),
    ({"input_size": 10 ** 10}, "input_size"), ({"input_size": (64, None)}, "input_size"),
    ({"input_size": (float("nan"), 64)}, "input_size"),
    ({"input_size": (float("inf"), 64)}, "input_size"),
    ({"threads": 0}, "threads"), ({"threads": -1}, "threads"), ({"threads": 1.0}, "threads"),
    ({"threads": True}, "threads"), ({"threads": "2"}, "threads"),
    ({"threads": 10 ** 10}, "threads"),
    ({"layer": ()}, "layer must be"), ({"layer": 5}, "layer must be"),
    ({"layer": ""}, "layer must be"), ({"layer": ("mixed2", 5)}, "layer must be")])
def test_bad_settings(settings, part):
    with pytest.raises(ValueError) as caught:
        Backbone.load(**settings)
    assert part in str(caught.value)


def test_unknown_layer():
    with pytest.raises(GraphError) as caught:
        Backbone.load("inception_v3", layer="mixd2")
    assert "no layer 'mixd2'" in str(caught.value) and "mixed2" in str(caught.value)
    with pytest.raises(GraphError) as caught:
        Backbone.load("inception_v3", layer=("mixed2", "mixed8"))
    assert "no layer 'mixed8'" in str(caught.value) and "'mixed7'" in str(caught.value)
    with pytest.raises(GraphError) as caught:
        Backbone.load(layer="blok3")  # in no backbone of the package
    assert "no layer 'blok3'" in str(caught.value) and "block3" in str(caught.value)


def test_unknown_backbone(tmp_path):
    with pytest.raises(ValueError) as caught:
        Backbone.load("resnet")
    assert "'resnet'" in str(caught.value) and "'inception_v3'" in str(caught.value)
    with pytest.raises(WeightsError) as caught:
        Backbone.load(tmp_path / "missing.h5")
    assert str(tmp_path / "missing.h5") in str(caught.value)
    with pytest.raises(WeightsError):
        Backbone.load(tmp_path)


def test_official_weights_not_found(monkeypatch, tmp_path):
    monkeypatch.delenv("GEAR_TRANSFER_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        Backbone.load("inception_v3_imagenet")
    assert str(tmp_path) in str(caught.value) and "download" in str(caught.value)
    monkeypatch.setenv("GEAR_TRANSFER_WEIGHTS", str(tmp_path / "nowhere.h5"))
    with pytest.raises(WeightsError) as caught:
        Backbone.load("inception_v3_imagenet")
    assert "nowhere.h5" in str(caught.value)


@pytest.mark.slow
def test_official_weights(monkeypatch, shared, features, images):
    monkeypatch.setenv("GEAR_TRANSFER_WEIGHTS", os.path.join(shared, "weights"))
    tapped = Backbone.load("inception_v3_imagenet", layer="mixed2", input_size=SIZE)
    np.testing.assert_array_equal(tapped.features(images[:2]), features[:2])


@pytest.mark.slow
def test_threads_that_come_first_at_once(images):
    """Several threads decide on the precision and build the engine; all compute the same."""
    expected = Backbone.load(layer="mixed0", input_size=SIZE, precision="auto").features(images)
    for _ in range(10):
        shared, found = Backbone.load(layer="mixed0", input_size=SIZE, precision="auto"), []
        start = threading.Barrier(6)

        def use():
            start.wait()
            found.append(shared.features(images))
        threads = [threading.Thread(target=use, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert len(found) == 6 and all(np.array_equal(each, expected) for each in found)
