"""Precisions: faithful to float32, chosen for a reason, kept in the model."""
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer import _core
from gear_transfer.common.cache import FeatureCache
from gear_transfer.features import precision
from gear_transfer.features.backbone import Backbone
from gear_transfer.features.precision import (Choice, choice_from_text, choice_to_text,
                                              choose_precision, least_cosine)

HAS_BF16, HAS_INT8 = _core.has_fast("bf16"), _core.has_fast("int8")
FASTEST = "int8" if HAS_INT8 else "bf16" if HAS_BF16 else "float32"


def pictures(n=9, size=128):
    return np.stack([gt.make_shape(["circle", "square", "triangle"][i % 3], size, i)
                     for i in range(n)])


def test_bf16_agrees_with_float32_or_is_refused():
    if not HAS_BF16:
        with pytest.raises(ValueError, match="no instructions for bf16"):
            Backbone.load(precision="bf16")
        return
    images = pictures()
    exact = Backbone.load("inception_v3", input_size=128).features(images)
    rounded = Backbone.load("inception_v3", input_size=128, precision="bf16").features(images)
    assert not np.array_equal(exact, rounded)
    assert least_cosine(exact, rounded) > 0.9997


@pytest.mark.slow
def test_bf16_is_the_same_in_a_batch_alone_and_on_one_thread():
    if not HAS_BF16:
        with pytest.raises(ValueError, match="no instructions for bf16"):
            Backbone.load(precision="bf16")
        return
    images = pictures()
    backbone = Backbone.load("inception_v3", input_size=128, precision="bf16", threads=2)
    together = backbone.features(images)
    alone = np.concatenate([backbone.features(images[i:i + 1]) for i in range(len(images))])
    single = Backbone.load("inception_v3", input_size=128, precision="bf16",
                           threads=1).features(images)
    assert np.array_equal(together, alone) and np.array_equal(together, single)


@pytest.mark.slow
def test_bf16_against_the_reference(shared):
    if not HAS_BF16:
        assert Backbone.load(precision="auto").precision == "auto"
        return
    reference = np.load(os.path.join(shared, "reference", "inception_v3_features.npz"),
                        allow_pickle=False)
    weights = os.path.join(shared, "weights",
                           "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5")
    layers = ("mixed4", "mixed10")
    backbone = Backbone.load(weights, layer=layers, input_size=299, precision="bf16")
    for layer, features in zip(layers, backbone.features(reference["images_uint8"])):
        assert least_cosine(features, reference["gap_" + layer]) > 0.9995


@pytest.mark.slow
def test_int8_agrees_with_float32_or_is_refused():
    if not HAS_INT8:
        with pytest.raises(ValueError, match="no instructions for int8"):
            Backbone.load(precision="int8")
        return
    images = pictures(24)
    exact = Backbone.load("inception_v3", input_size=128).features(images)
    backbone = Backbone.load("inception_v3", input_size=128, precision="int8")
    assert not backbone.is_settled
    rounded = backbone.features(images)
    assert backbone.is_settled and backbone.precision_reason == "asked for"
    assert not np.array_equal(exact, rounded)
    assert least_cosine(exact, rounded) > 0.98  # drawings; photographs keep closer
    layers = dict((layer, (size, negative)) for layer, size, negative in backbone.ranges)
    assert layers["conv2d_1"][0] > 0 and not layers["conv2d_1"][1]


@pytest.mark.slow
def test_int8_is_the_same_in_a_batch_alone_and_with_known_ranges():
    if not HAS_INT8:
        return check_refused("int8")
    images = pictures()
    backbone = Backbone.load("inception_v3", input_size=128, precision="int8", threads=2)
    together = backbone.features(images)
    alone = np.concatenate([backbone.features(images[i:i + 1]) for i in range(len(images))])
    assert np.array_equal(together, alone)
    other = Backbone.load("inception_v3", input_size=128, precision="int8", threads=1,
                          ranges=backbone.ranges)
    assert np.array_equal(together, other.features(images[::-1])[::-1])
    copied = pickle.loads(pickle.dumps(backbone))
    assert np.array_equal(together, copied.features(images))
    assert backbone.rounding() == copied.rounding() != "int8"


def check_refused(precision):
    with pytest.raises(ValueError, match="no instructions for " + precision):
        Backbone.load(precision=precision)


@pytest.mark.slow
def test_int8_against_the_reference(shared):
    if not HAS_INT8:
        return check_refused("int8")
    reference = np.load(os.path.join(shared, "reference", "inception_v3_features.npz"),
                        allow_pickle=False)
    weights = os.path.join(shared, "weights",
                           "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5")
    layers = ("mixed4", "mixed10")
    images = reference["images_uint8"]
    backbone = Backbone.load(weights, layer=layers, input_size=299, precision="int8")
    backbone.choose_precision(images[::2])
    for layer, features in zip(layers, backbone.features(images)):
        assert least_cosine(features, reference["gap_" + layer]) > 0.99


def test_int8_needs_an_image_to_learn_from():
    if not HAS_INT8:
        return check_refused("int8")
    backbone = Backbone.load("inception_v3", input_size=128, precision="int8")
    with pytest.raises(ValueError, match="from the first images"):
        backbone.features(pictures()[:0])
    engine = backbone._make_engine("int8")
    with pytest.raises(ValueError, match="must be calibrated"):
        engine.run(pictures(1))
    engine.calibrate(pictures(1))
    engine.run(pictures(1))
    with pytest.raises(ValueError, match="has run"):
        engine.calibrate(pictures(1))
    with pytest.raises(ValueError, match="conv2d_1.*finite"):
        backbone._make_engine("int8").set_ranges([("conv2d_1", float("nan"), False)])
    for wrong in ([("conv2d_1", "large", False)], [("conv2d_1",)], ["conv2d_1"], ("conv2d_1",)):
        with pytest.raises(TypeError):
            backbone._make_engine("int8").set_ranges(wrong)


@pytest.mark.slow
def test_auto_says_what_was_chosen_and_why():
    backbone = Backbone.load("inception_v3", input_size=128, precision="auto")
    assert backbone.precision == "auto"
    with pytest.raises(ValueError, match="first images"):
        backbone.primitives()
    features = backbone.features(pictures())
    assert backbone.precision == FASTEST
    assert ("no instructions" if FASTEST == "float32" else "cosine") in backbone.precision_reason
    assert backbone.precision in backbone.summary()
    chosen = Backbone.load("inception_v3", input_size=128,
                           precision=backbone.precision).features(pictures())
    assert np.array_equal(features, chosen)


class Engine(object):
    """Stands for the core's backbone: gives the features that it was made with."""

    def __init__(self, features):
        self._features = features

    def run(self, images):
        return [self._features[:len(images)]]

    calibrate = run

    def ranges(self):
        return [("layer", 1.0, False)]


@pytest.mark.parametrize("error_int8, error_bf16, chosen", [
    (1e-4, 1e-4, "int8"), (0.1, 1e-4, "bf16"), (0.1, 0.1, "float32"), (0.01, 0.01, "int8")])
def test_auto_takes_the_fastest_that_agrees(monkeypatch, error_int8, error_bf16, chosen):
    monkeypatch.setattr(precision._core, "has_fast", lambda name: True)
    features = {"float32": np.eye(3), "bf16": np.eye(3) + error_bf16}
    made = []

    def make_engine(name):
        made.append(name)
        engine = Engine(features.get(name, np.eye(3) + error_int8))
        if name == "int8":
            engine.calibrate = lambda images: [features["float32"]]
        return engine

    choice, engine = choose_precision(pictures(3), make_engine)
    assert choice.precision == chosen and "cosine" in choice.reason
    assert (choice.ranges is not None) == (chosen == "int8")
    assert ("int8 was tried and refused" in choice.reason) == (chosen != "int8")
    assert (choice.precision, engine is None) in (
        ("int8", False), ("bf16", False), ("float32", True))


class Slow(Engine):
    """An engine that takes a while."""

    def __init__(self, features, seconds):
        super().__init__(features)
        self.seconds = seconds

    def run(self, images):
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            pass
        return super().run(images)

    def calibrate(self, images):
        return [np.eye(3)]


@pytest.mark.parametrize("seconds, error_bf16, chosen, reason", [
    ((0.03, 0.002, 0.004), 1e-4, "bf16", "int8 was tried and refused: it is slower"),
    ((0.03, 0.002, 0.008), 0.1, "float32", "int8 was tried and refused: it is slower here than fl"),
    ((0.03, 0.02, 0.002), 1e-4, "float32", "bf16 was tried and refused: it is slower"),
    ((0.002, 0.006, 0.02), 1e-4, "int8", "cosine"),
    ((0.0100, 0.0097, 0.0098), 1e-4, "int8", "cosine")])
def test_auto_measures(monkeypatch, seconds, error_bf16, chosen, reason):
    """Never one that is slower than another that agrees as well."""
    monkeypatch.setattr(precision._core, "has_fast", lambda name: True)
    times = dict(zip(("int8", "bf16", "float32"), seconds))
    errors = {"int8": 1e-4, "bf16": error_bf16, "float32": 0.0}
    choice, _ = choose_precision(pictures(3), lambda name: Slow(
        np.eye(3) + errors[name], times[name]))
    assert choice.precision == chosen and reason in choice.reason
    assert (choice.ranges is None) == (chosen != "int8")


@pytest.mark.parametrize("where", ["make", "calibrate", "run"])
@pytest.mark.parametrize("failing, chosen", [
    ({"int8"}, "bf16"), ({"bf16"}, "int8"), ({"int8", "bf16"}, "float32"),
    ({"float32"}, "int8"), (set(), "int8")])
def test_auto_goes_on_where_an_engine_fails(monkeypatch, where, failing, chosen):
    monkeypatch.setattr(precision._core, "has_fast", lambda name: True)

    def fail(*_):
        raise gt.EngineError("the layer 'conv' has only its slow reference implementation")

    def make_engine(name):
        engine = Slow(np.eye(3), {"int8": 0.001, "bf16": 0.004, "float32": 0.01}[name])
        if name in failing:
            if where == "make" or where == "calibrate" and name != "int8":
                fail()
            setattr(engine, where, fail)
        return engine

    choice, _ = choose_precision(pictures(3), make_engine)
    assert choice.precision == chosen
    for name in failing - {"float32"}:
        if name == "int8" or "int8" in failing:
            assert name + " was tried and refused: the layer 'conv'" in choice.reason


def test_auto_without_int8_compares_with_float32(monkeypatch):
    monkeypatch.setattr(precision._core, "has_fast", lambda name: name != "int8")
    features = {"float32": np.eye(3), "bf16": np.eye(3) + 0.1}
    choice, _ = choose_precision(pictures(3), lambda name: Engine(features[name]))
    assert choice.precision == "float32" and "refused" in choice.reason
    monkeypatch.setattr(precision._core, "has_fast", lambda name: name == "float32")
    choice, engine = choose_precision(pictures(3), None)
    assert choice.precision == "float32" and "no instructions" in choice.reason and engine is None


def test_choices_survive_as_text_and_others_are_refused():
    choice = Choice(FASTEST, "because", (("layer", 1.0, False),) if FASTEST == "int8" else None)
    assert list(choice_from_text(choice_to_text(choice)))[:2] == [FASTEST, "because"]
    for text in ("", "[", "[" * 100000, "1", "[]", "{}", '["float32", 1, null]',
                 '["float64", "", null]', '["float32", "", [["layer", 1.0, false]]]',
                 '["int8", "", null]', '["int8", "", [["layer", -1.0, false]]]',
                 '["int8", "", [["layer", NaN, false]]]', '["int8", "", [["layer", 1.0]]]'):
        assert choice_from_text(text) is None


@pytest.mark.slow
def test_the_choice_is_the_same_for_the_same_photographs_in_any_order(tmp_path):
    folder = gt.make_shapes(str(tmp_path / "shapes"), per_class=12)
    paths = gt.load_folder(folder).paths
    cache = FeatureCache(tmp_path / "cache")
    first = gt.FeatureExtractor(input_size=96, cache=cache)
    features = first.fit_transform(paths)
    second = gt.FeatureExtractor(input_size=96, cache=False)
    assert np.array_equal(features, second.fit_transform(paths[::-1])[::-1])
    assert first.backbone_.choice == second.backbone_.choice
    third = gt.FeatureExtractor(input_size=96, cache=cache)
    third.fit()
    third.backbone_.choose_precision = None  # it is known already
    assert np.array_equal(features, third.transform(paths))
    assert third.backbone_.choice == first.backbone_.choice


def test_cosine():
    left = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert least_cosine(left, left) == 1.0
    assert least_cosine(left, np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])) == 0.0
    assert least_cosine(np.zeros((1, 2)), np.ones((1, 2))) == 0.0


def test_bad_precision():
    with pytest.raises(ValueError, match="precision must be"):
        Backbone.load(precision="float16")


@pytest.mark.slow
def test_model_keeps_its_precision(tmp_path):
    folder = gt.make_shapes(str(tmp_path / "shapes"), per_class=8)
    images = gt.load_folder(folder)
    model = gt.TransferClassifier(input_size=96).fit(images)
    model.save(tmp_path / "model.gtm")
    loaded = gt.load_model(tmp_path / "model.gtm")
    assert loaded.extractor_.backbone_.precision == model.extractor_.backbone_.precision != "auto"
    assert np.array_equal(loaded.predict_proba(images.paths), model.predict_proba(images.paths))


@pytest.mark.parametrize("isa", ["SSE41", "AVX2", "AVX512_CORE"])
@pytest.mark.slow
def test_older_processors(isa, tmp_path):
    """oneDNN held to an older instruction set: the features are right, and int8 is for AVX2 on."""
    np.save(str(tmp_path / "images.npy"), pictures())
    script = (
        "import sys, numpy as np\nfrom gear_transfer import _core\n"
        "from gear_transfer.features.backbone import Backbone\nfolder = sys.argv[1]\n"
        "images = np.load(folder + '/images.npy')\n"
        "for precision in 'float32', 'auto':\n"
        "    backbone = Backbone.load('inception_v3', input_size=128, precision=precision)\n"
        "    backbone.choose_precision(images)\n"
        "    np.save(folder + '/' + precision + '.npy', backbone.features(images))\n"
        "print(_core.engine_info()[1].replace(' ', '_'), _core.int8_rounding(), backbone.precision)\n")
    output = subprocess.check_output([sys.executable, "-c", script, str(tmp_path)],
                                     env=dict(os.environ, ONEDNN_MAX_CPU_ISA=isa))
    instructions, rounding, chosen = output.decode().split()
    assert rounding == ("pairs/none" if instructions[0] == "S" else "pairs/int16+fp16")
    assert chosen == ("float32" if instructions[0] == "S" else "int8")
    here = Backbone.load("inception_v3", input_size=128).features(pictures())
    there = np.load(str(tmp_path / "float32.npy"))
    assert np.abs(here - there).max() <= 2e-5 * np.abs(here).max()
    assert least_cosine(here, np.load(str(tmp_path / "auto.npy"))) >= 0.995
