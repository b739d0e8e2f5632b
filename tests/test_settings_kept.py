"""What a classifier was told stays with it: in files, in pickles, and when it is told otherwise."""
import inspect
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone

from gear_transfer import (Backbone, FeatureExtractor, TransferClassifier, WeightsError, _core,
                           convert, load_folder, load_model, make_shapes)
from gear_transfer.cli import main
from gear_transfer.classifiers import model_file
from gear_transfer.features import precision
from gear_transfer.features.precision import Choice, runnable_choice
from gear_transfer.importers import QuantizedArray, load_network
from gear_transfer.importers.native import read_network, write_network
from gear_transfer.importers.weights import packaged_path

QUICK = dict(layer="mixed0", input_size=75, epochs=3)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_folder(make_shapes(tmp_path_factory.mktemp("settings") / "shapes", per_class=8,
                                   size=64, random_state=0))


@pytest.fixture(scope="module")
def model(images):
    return TransferClassifier(cache=False, **QUICK).fit(images)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("settings") / "model.gtm")
    model.save(path)
    return path


def kept(folder):
    return os.listdir(str(folder))


# Files

def test_every_parameter_is_in_the_file_or_of_this_machine():
    """A new parameter must be put among one or the other."""
    here = {"threads", "verbose", "executor"}  # of the process that loads
    said_otherwise = {"backbone", "layer", "input_size", "precision", "quality"}
    parameters = set(inspect.signature(TransferClassifier.__init__).parameters) - {"self"}
    assert parameters == set(model_file._PARAMETERS) | here | said_otherwise


@pytest.mark.parametrize("cache, expected", [
    (False, False), (None, False), (True, True), ("folder", True)])
def test_whether_features_are_kept_is_saved(images, tmp_path, monkeypatch, cache, expected):
    monkeypatch.chdir(str(tmp_path))
    TransferClassifier(cache=cache, **QUICK).fit(images).save("model.gtm")
    loaded = load_model("model.gtm")
    assert loaded.cache is expected and loaded.extractor_.cache is expected
    assert load_model("model.gtm", cache=False).cache is False
    assert load_model("model.gtm", cache="other").extractor_.cache == "other"


def test_a_loaded_model_keeps_no_features_of_what_it_is_shown(saved, images, tmp_path,
                                                              monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_model(saved).predict(images.paths[:2])
    assert main(["predict", saved, images.paths[0]]) == 0
    assert kept(tmp_path) == []
    assert main(["predict", saved, images.paths[0], "--cache", str(tmp_path / "asked")]) == 0
    assert kept(tmp_path) == ["asked"]
    load_model(saved, cache=True).predict(images.paths[:2])
    assert "gear_transfer" in kept(tmp_path)
    capsys.readouterr()


def test_files_of_earlier_releases_keep_features(saved, tmp_path):
    network = read_network(saved)
    settings = json.loads(network.extra["classifier"])
    for name in ("precision_reason", "temperature"):
        del settings[name]
    del settings["parameters"]["cache"]
    network.extra["classifier"] = json.dumps(settings)
    write_network(tmp_path / "earlier.gtm", network)
    assert load_model(tmp_path / "earlier.gtm").cache is True


def test_class_weights_and_what_was_found_out_are_saved(images, tmp_path):
    weights = {"circle": 2, "square": 1.5, "triangle": 1}
    model = TransferClassifier(class_weight=weights, **QUICK).fit(images)
    model.save(tmp_path / "model.gtm")
    loaded = load_model(tmp_path / "model.gtm")
    assert loaded.class_weight == weights
    assert loaded.head_.temperature_ == model.head_.temperature_
    assert loaded.head_.n_iter_ == 3
    assert (loaded.extractor_.backbone_.precision_reason
            == model.extractor_.backbone_.precision_reason != "asked for")
    again = clone(loaded).fit(images)
    np.testing.assert_allclose(again.head_.coefs_[0], model.head_.coefs_[0], atol=1e-5)


# Told otherwise after training

@pytest.mark.parametrize("loaded", [False, True])
def test_what_is_set_later_counts(saved, images, tmp_path, monkeypatch, capsys, loaded):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    model = load_model(saved, threads=2) if loaded else TransferClassifier(
        threads=2, cache=False, **QUICK).fit(images)
    before = model.predict_proba(images.paths)
    model.set_params(threads=1, verbose=1, cache=tmp_path / "asked")
    assert model.extractor_.backbone_.threads == model.extractor_.threads == model.head_.threads == 1
    np.testing.assert_allclose(model.predict_proba(images.paths), before, atol=1e-5)
    assert kept(tmp_path) == ["asked"] and "Features" in capsys.readouterr().err
    model.cache, model.verbose = False, 0  # as well as by set_params
    shutil.rmtree(str(tmp_path / "asked"))
    model.predict(images.paths)
    assert kept(tmp_path) == [] and capsys.readouterr().err == ""


def test_threads_of_an_extractor_count_later():
    pictures = np.zeros((3, 75, 75, 3), np.uint8)
    extractor = FeatureExtractor(layer="mixed0", input_size=75, threads=2, precision="float32").fit()
    expected = extractor.transform(pictures)
    first = extractor.backbone_
    np.testing.assert_array_equal(extractor.set_params(threads=1).transform(pictures), expected)
    assert extractor.backbone_.threads == 1 and first.threads == 2
    extractor.transform(pictures)
    given = FeatureExtractor(first, threads=1).fit()
    given.transform(pictures)
    assert given.backbone_ is first


# Pickles

@pytest.fixture
def own(tmp_path):
    path = str(tmp_path / "own.gtw")
    convert(packaged_path("inception_v3"), path, layer="mixed0")
    return path


def test_a_pickle_notices_other_weights(own, images):
    model = TransferClassifier(backbone=own, cache=False, **QUICK).fit(images)
    pickled = pickle.dumps(model)
    np.testing.assert_array_equal(pickle.loads(pickled).predict_proba(images.paths),
                                  model.predict_proba(images.paths))
    network, random = load_network(own), np.random.RandomState(0)
    array = network.arrays["conv2d_3/kernel"]
    network.arrays["conv2d_3/kernel"] = QuantizedArray(
        random.permutation(array.values.ravel()).reshape(array.shape), array.scale, array.minimum)
    write_network(own, network)
    with pytest.raises(WeightsError, match="own.gtw: the weights under this name are no longer"):
        pickle.loads(pickled)
    os.remove(own)
    with pytest.raises(WeightsError, match="cannot be loaded: .*no such file.*with save"):
        pickle.loads(pickled)


def test_a_pickle_finds_relative_paths_from_elsewhere(own, tmp_path, monkeypatch):
    monkeypatch.chdir(os.path.dirname(own))
    pickled = pickle.dumps(Backbone.load("own.gtw", layer="mixed0", input_size=75))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(str(tmp_path / "elsewhere"))
    assert pickle.loads(pickled).layer == "mixed0"


def test_a_pickle_of_a_loaded_model_notices_another_file(saved, images, tmp_path):
    path = tmp_path / "model.gtm"
    shutil.copyfile(saved, str(path))
    pickled = pickle.dumps(load_model(path))
    assert pickle.loads(pickled).predict(images.paths[:1]).shape == (1,)
    convert(packaged_path("inception_v3"), tmp_path / "other.gtw", layer="conv2d_4")
    shutil.copyfile(str(tmp_path / "other.gtw"), str(path))
    with pytest.raises(WeightsError, match="no layer 'mixed0'"):
        pickle.loads(pickled)


@pytest.mark.parametrize("asked", ["auto", "float32"])
def test_a_pickle_on_a_processor_that_can_do_less(images, monkeypatch, saved, asked):
    model = TransferClassifier(cache=False, precision=asked, **QUICK).fit(images)
    chosen = model.extractor_.backbone_.precision
    pickled, expected = pickle.dumps(model), model.predict(images.paths)
    same = pickle.loads(pickled).extractor_.backbone_
    assert same.choice == model.extractor_.backbone_.choice
    monkeypatch.setattr(precision._core, "has_fast", lambda name: name == "float32")
    for again in (pickle.loads(pickled), load_model(saved)):
        backbone = again.extractor_.backbone_
        assert backbone.precision == "float32" and backbone.ranges is None
        assert (again.predict(images.paths) == expected).mean() > 0.9
    if chosen != "float32":
        assert "no instructions for " + chosen in pickle.loads(
            pickled).extractor_.backbone_.precision_reason


def test_runnable_choice(monkeypatch):
    monkeypatch.setattr(precision._core, "has_fast", lambda name: name == "float32")
    assert runnable_choice(Choice("auto", "asked for", None)).precision == "auto"
    assert runnable_choice(Choice("float32", "asked for", None)).reason == "asked for"
    assert runnable_choice(Choice("bf16", "x", None)) == (
        "float32", "this processor has no instructions for bf16, which was chosen elsewhere", None)


@pytest.mark.slow
def test_a_pickle_goes_to_another_process(model, images):
    """Nothing that was loaded here may be needed there."""
    program = ("import pickle, sys; model = pickle.load(sys.stdin.buffer); "
               "print(model.predict(sys.argv[1:]).tolist())")
    found = subprocess.check_output([sys.executable, "-c", program] + images.paths[:3],
                                    input=pickle.dumps(model), env=dict(
                                        os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(
                                            _core.__file__))))
    assert found.decode().strip() == str(model.predict(images.paths[:3]).tolist())
