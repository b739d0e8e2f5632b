"""Saved classifiers: what comes back, and what is refused."""
import copy
import json
import os
import shutil
import struct

import numpy as np
import pytest

from gear_transfer import (Backbone, ModelFileError, TransferClassifier, convert, load_folder,
                           load_model, make_shapes)
from gear_transfer.importers.native import read_network, write_network
from gear_transfer.features import golden
from gear_transfer.importers.weights import packaged_path
from gear_transfer.photographs.images import read_image

pytestmark = pytest.mark.every_python

QUICK = dict(layer="mixed0", input_size=64, batch_size=16, epochs=3, precision="float32",
             cache=False)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A model with a novelty detector, which needs more photographs."""
    folder = tmp_path_factory.mktemp("watched")
    shapes = load_folder(make_shapes(folder / "shapes", per_class=12, size=64, random_state=0))
    path = str(folder / "model.gtw")
    TransferClassifier(**QUICK).fit(shapes).save(path)
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model_file") / "shapes"
    return load_folder(make_shapes(folder, per_class=6, size=72, random_state=2))


@pytest.fixture(scope="module")
def fitted(shapes):
    return TransferClassifier(**QUICK).fit(shapes)


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("model_file") / "model.gtw")
    fitted.save(path)
    return path


def content(path):
    with open(str(path), "rb") as stream:
        return stream.read()


# Back again

@pytest.mark.parametrize("settings", [
    {}, dict(layer=("mixed1", "mixed0")), dict(layer=["mixed0"]), dict(pooling="max"),
    dict(pooling=None),
    dict(hidden_layers=(12, 8), dropout=0.1), dict(resize="stretch", input_size=(64, 90)),
    dict(class_weight={"circle": 2, "square": 1, "triangle": 1}), dict(early_stopping=True),
    dict(random_state=np.random.RandomState(3)), dict(epochs=np.int64(2), l2=np.float32(0.01)),
    dict(backbone=packaged_path("inception_v3"))])
def test_round_trip(shapes, tmp_path, settings):
    model = TransferClassifier(**dict(QUICK, **settings)).fit(shapes)
    path = tmp_path / "model.gtw"
    model.save(path)
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded.predict_proba(shapes.paths),
                                  model.predict_proba(shapes.paths))
    np.testing.assert_array_equal(loaded.predict(shapes.paths), model.predict(shapes.paths))
    assert loaded.history_ == model.history_ and list(loaded.history_) == list(model.history_)
    assert loaded.classes_.tolist() == model.classes_.tolist()
    assert loaded.score(shapes) == model.score(shapes)
    assert loaded.skipped_ == [] and loaded.n_images_ == 18
    assert loaded.resize == model.extractor_.resize_
    for name in ("pooling", "epochs", "dropout", "l2", "early_stopping"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert tuple(loaded.hidden_layers) == tuple(model.hidden_layers)
    again = tmp_path / "again.gtw"
    loaded.save(again)
    np.testing.assert_array_equal(load_model(again).predict_proba(shapes.paths[:3]),
                                  model.predict_proba(shapes.paths[:3]))


def test_a_loaded_model_learns_again(shapes, fitted, saved):
    again = load_model(saved, threads=1).fit(shapes)
    np.testing.assert_allclose(again.head_.coefs_[0], fitted.head_.coefs_[0], atol=1e-6)
    assert again.set_params(epochs=1).fit(shapes).n_images_ == 18
    with pytest.raises(ValueError) as caught:
        load_model(saved, threads=0)
    assert "threads" in str(caught.value)


def test_what_a_loaded_backbone_says_counts(shapes, tmp_path):
    """The classifier's own settings do not count where it was given a loaded backbone."""
    backbone = Backbone.load(layer="mixed0", input_size=64, pooling="max")
    model = TransferClassifier(backbone=backbone, epochs=2).fit(shapes)
    model.save(tmp_path / "model.gtw")
    loaded = load_model(tmp_path / "model.gtw")
    assert loaded.pooling == "max" and loaded.layer == "mixed0" and loaded.input_size == (64, 64)
    np.testing.assert_array_equal(loaded.predict_proba(shapes.paths),
                                  model.predict_proba(shapes.paths))


@pytest.mark.parametrize("damage", ["cut", "another model"])
@pytest.mark.parametrize("when", ["before the first prediction", "between two"])
def test_a_loaded_model_does_not_depend_on_its_file(watched, shapes, tmp_path, damage, when):
    path = str(tmp_path / "model.gtm")
    shutil.copyfile(watched, path)
    expected = load_model(watched)
    model = load_model(path)
    if when == "between two":
        model.predict(shapes.paths[:1])
    with open(path, "r+b") as stream:
        stream.truncate(0)
        if damage == "another model":
            TransferClassifier(**dict(QUICK, layer="mixed1")).fit(shapes).save(tmp_path / "other")
            stream.write(content(tmp_path / "other"))
    np.testing.assert_array_equal(model.predict_proba(shapes.paths),
                                  expected.predict_proba(shapes.paths))
    np.testing.assert_array_equal(model.known_score(shapes.paths),
                                  expected.known_score(shapes.paths))
    model.save(tmp_path / "again.gtm")
    np.testing.assert_array_equal(load_model(tmp_path / "again.gtm").predict_proba(shapes.paths),
                                  expected.predict_proba(shapes.paths))


def test_a_damaged_model_is_refused(saved, tmp_path):
    data = content(saved)
    for place in (len(data) // 2, len(data) - 1, data.index(b"triangle")):
        with open(str(tmp_path / "model.gtm"), "wb") as stream:
            stream.write(data[:place] + bytes([data[place] ^ 1]) + data[place + 1:])
        with pytest.raises(ModelFileError, match="damaged"):
            load_model(tmp_path / "model.gtm")


def test_the_offset_of_a_head_is_saved(shapes, fitted, tmp_path):
    model = copy.deepcopy(fitted)
    offset = np.linspace(-1e6, 1e6, model.head_.n_features_in_).astype(np.float32)
    model.head_.set_layers(list(zip(model.head_.coefs_, model.head_.intercepts_)), offset)
    model.save(tmp_path / "model.gtm")
    loaded = load_model(tmp_path / "model.gtm")
    np.testing.assert_array_equal(loaded.head_.offset_, offset)
    np.testing.assert_array_equal(loaded.predict_proba(shapes.paths),
                                  model.predict_proba(shapes.paths))
    assert not np.array_equal(loaded.predict_proba(shapes.paths),
                              fitted.predict_proba(shapes.paths))
    network = read_network(tmp_path / "model.gtm")
    np.testing.assert_array_equal(network.arrays["classifier/dense_1/bias"],
                                  model.head_.first_intercept())
    del network.extra_arrays["head/bias"]
    write_network(tmp_path / "damaged.gtm", network)
    with pytest.raises(ModelFileError, match="offset of the features"):
        load_model(tmp_path / "damaged.gtm")


def test_settings_changed_after_training(shapes, tmp_path):
    model = TransferClassifier(**dict(QUICK, epochs=1)).fit(shapes)
    model.set_params(resize="stretch", pooling="max", layer="mixed1")
    model.save(tmp_path / "model.gtw")
    np.testing.assert_array_equal(load_model(tmp_path / "model.gtw").predict_proba(
        shapes.paths), model.predict_proba(shapes.paths))


@pytest.mark.parametrize("names", [[3, 1, 2], ["ä b", "c/d\n", "\u6f22\udc80"], ["2", "1", ""]])
def test_class_names(shapes, tmp_path, names):
    y = np.array(names)[np.searchsorted(shapes.classes, shapes.labels)]
    model = TransferClassifier(**dict(QUICK, epochs=1)).fit(shapes.paths, y)
    model.save(tmp_path / "model.gtw")
    loaded = load_model(tmp_path / "model.gtw")
    assert loaded.classes_.tolist() == sorted(names)
    np.testing.assert_array_equal(loaded.predict(shapes.paths), model.predict(shapes.paths))


def test_class_names_that_cannot_be_saved(fitted, tmp_path):
    model = copy.deepcopy(fitted)
    model.classes_ = model.classes_.astype("S")
    with pytest.raises(ModelFileError) as caught:
        model.save(tmp_path / "model.gtw")
    assert "class names of type |S8" in str(caught.value) and not os.listdir(str(tmp_path))


def test_same_seed_same_bytes(shapes, saved, tmp_path):
    path = tmp_path / "again.gtw"
    TransferClassifier(**QUICK).fit(shapes).save(path)
    assert content(path) == content(saved)
    TransferClassifier(random_state=1, **QUICK).fit(shapes).save(path)
    assert content(path) != content(saved)


def test_the_file_is_a_network_of_its_own(shapes, fitted, saved):
    network = Backbone.load(saved, layer="classifier/softmax", pooling=None, input_size=64)
    pixels = np.array([read_image(path, 64) for path in shapes.paths[:5]])
    np.testing.assert_allclose(network.features(pixels), fitted.predict_proba(pixels), atol=1e-5)
    assert Backbone.load(saved, layer="mixed0").n_features == 256


# Failures while saving

def test_a_failure_leaves_the_old_file(fitted, saved, tmp_path, monkeypatch):
    path = tmp_path / "model.gtw"
    path.write_bytes(b"the old file")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ModelFileError) as caught:
        fitted.save(path)
    assert "No space left" in str(caught.value) and str(path) in str(caught.value)
    monkeypatch.undo()
    assert path.read_bytes() == b"the old file" and os.listdir(str(tmp_path)) == ["model.gtw"]
    fitted.save(str(path))
    assert content(path) == content(saved)
    with pytest.raises(ModelFileError):
        fitted.save(tmp_path / "nowhere" / "model.gtw")
    with pytest.raises(ModelFileError):
        fitted.save(tmp_path)


# Damaged files

def test_cut_short(saved, tmp_path):
    whole = content(saved)
    path = tmp_path / "cut.gtw"
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    for length in [0, 1, 7, 8, 9, 100, header - 1, header, header + 1, len(whole) // 2,
                   len(whole) - 4, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            load_model(path)
        assert str(path) in str(caught.value), length
    path.write_bytes(whole + b"\0")
    with pytest.raises(ModelFileError):
        load_model(path)


def test_other_files(tmp_path):
    cut = tmp_path / "cut.gtw"
    convert(packaged_path("inception_v3"), str(cut), layer="conv2d_1")
    with pytest.raises(ModelFileError) as caught:
        load_model(cut)
    assert "a network without a classifier" in str(caught.value)
    other = tmp_path / "other.h5"
    other.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    for path in (other, tmp_path, tmp_path / "missing.gtw"):
        with pytest.raises(ModelFileError) as caught:
            load_model(path)
        assert str(path) in str(caught.value)


def rewritten(saved, path, change):
    """A copy whose description `change` has changed: a dictionary to alter, or text to put."""
    network = read_network(saved)
    if callable(change):
        settings = json.loads(network.extra["classifier"])
        change(settings)
        network.extra["classifier"] = json.dumps(settings)
    else:
        network.extra["classifier"] = change
    write_network(path, network)
    return path


def put(*keys):
    """A change: the last of `keys` is the value to put at the place the others name."""
    def change(settings):
        for key in keys[:-2]:
            settings = settings[key]
        settings[keys[-2]] = keys[-1]
    return change


DAMAGE = [
    "", "{", "[]", "3", "null", "[" * 100000, put("version", 2), put("version", "1"),
    put("classes", ["circle", "square"]), put("classes", ["circle"] * 3), put("classes", "abc"),
    put("classes", ["a", "b", 3]), put("classes", [[1], [2], [3]]), put("classes", [0.5, 1.5, 2.5]),
    put("classes", ["a", "b", "c", "d"]), put("classes", [None, None, None]),
    put("layers", []), put("layers", ["mixed9"]), put("layers", ["mixed0", "mixed0"]),
    put("layers", "mixed0"), put("layers", [3]), put("layers", ["conv2d_1"]),
    put("single_layer", None), put("single_layer", "yes"),
    put("input_size", [64]), put("input_size", [64, -1]), put("input_size", [64, 1.5]),
    put("input_size", [8, 8]), put("input_size", [2 ** 40, 64]), put("input_size", 64),
    put("backbone", 3), put("n_images", "many"), put("history", {}), put("history", []),
    put("history", "loss", [1, "2"]), put("history", "loss", 0.5), put("parameters", {}),
    put("parameters", "epochs", "3"), put("parameters", "epochs", None),
    put("parameters", "resize", "fit"), put("parameters", "preprocessing", "x"),
    put("parameters", "preprocessing", {"scale": 1.0}), put("parameters", "preprocessing", 3),
    put("parameters", "resize", None),
    put("parameters", "pooling", "mean"), put("parameters", "pooling", []),
    put("parameters", "hidden_layers", None), put("parameters", "hidden_layers", 5),
    put("parameters", "new", 1), put("parameters", "class_weight", {"a": 1}),
    put("parameters", "pooling", None)]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def test_damaged_description(saved, tmp_path, number):
    path = rewritten(saved, str(tmp_path / "bad.gtw"), DAMAGE[number])
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("key", ["version", "classes", "layers", "single_layer", "input_size",
                                 "backbone", "n_images", "history", "parameters"])
def test_incomplete_description(saved, tmp_path, key):
    path = rewritten(saved, str(tmp_path / "bad.gtw"), lambda settings: settings.pop(key))
    with pytest.raises(ModelFileError):
        load_model(path)


def test_calibration_that_an_older_file_does_not_name(saved, tmp_path):
    path = rewritten(saved, str(tmp_path / "old.gtw"),
                     lambda settings: settings["parameters"].pop("calibrate"))
    assert load_model(path).calibrate is False


@pytest.mark.parametrize("name, change", [
    ("mean", None), ("quantiles", lambda array: array[::-1]), ("quantiles", lambda array: array[:1]),
    ("points", lambda array: array[:, 1:]), ("components", lambda array: array[:, 1:]),
    ("components", lambda array: array[1:]), ("points", lambda array: array[0]),
    ("mean", lambda array: array[None]), ("mean", lambda array: array[1:])])
def test_damaged_novelty_detector(watched, tmp_path, name, change):
    network = read_network(watched)
    array = network.extra_arrays.pop("novelty/" + name)
    if change:
        network.extra_arrays["novelty/" + name] = np.ascontiguousarray(change(array), np.float32)
    path = str(tmp_path / "bad.gtw")
    write_network(path, network)
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert path in str(caught.value) and "novelty detector" in str(caught.value)


def test_novelty_detector_of_other_features(watched, tmp_path):
    path = str(tmp_path / "bad.gtw")
    for changed in ("longer", "unknown"):
        network = read_network(watched)
        if changed == "longer":
            for name in ("novelty/mean", "novelty/components"):
                wider = np.repeat(network.extra_arrays[name], 2, axis=-1)
                network.extra_arrays[name] = np.ascontiguousarray(wider)
        else:
            network.extra_arrays["weights"] = np.ones(3, np.float32)
        write_network(path, network)
        with pytest.raises(ModelFileError, match="novelty detector"):
            load_model(path)


def test_head_that_does_not_fit(shapes, tmp_path):
    model = TransferClassifier(**dict(QUICK, epochs=1, hidden_layers=(6,))).fit(shapes)
    path = str(tmp_path / "model.gtw")
    for layer, part, shape in [(1, "kernel", (7, 3)), (1, "bias", (7,)), (2, "kernel", (6, 4)),
                               (1, "kernel", (200, 6)), (2, "bias", (1,))]:
        model.save(path)
        network = read_network(path)
        network.arrays["classifier/dense_{}/{}".format(layer, part)] = np.ones(shape, np.float32)
        with pytest.raises(ValueError) as caught:
            write_network(path, network)
            load_model(path)
        assert path in str(caught.value)


def test_a_model_saved_before_efficientnet():
    """models/before_efficientnet.gtm was written when Inception V3 was the only backbone."""
    model = load_model(os.path.join(os.path.dirname(os.path.abspath(__file__)), "models",
                                    "before_efficientnet.gtm"), threads=1)
    backbone = model.extractor_.backbone_
    assert backbone.layer == ("activation_2", "activation_4")
    assert backbone.input_size == (48, 40) and model.extractor_.resize_ == "pad"
    assert (model.epochs, model.refit, model.get_params()["l2"]) == (12, False, 0.005)
    picture = golden.draw_picture()
    images = [np.ascontiguousarray(picture[y:y + 48, x:x + 40])
              for y, x in ((0, 0), (20, 60), (70, 10), (60, 70))]
    assert model.predict(images).tolist() == ["square", "circle", "square", "square"]
    np.testing.assert_allclose(model.predict_proba(images), [
        [6.38164784e-05, 0.999936163, 3.37813076e-11], [0.734314322, 0.265302777, 0.000382892904],
        [0.000270242541, 0.997716248, 0.002013491], [1.36917843e-05, 0.999986291, 3.52695012e-10]],
        rtol=1e-4, atol=1e-7)
