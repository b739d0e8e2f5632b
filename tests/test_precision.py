"""Precisions: faithful to float32, chosen for a reason, kept in the model."""
import os
import subprocess
import sys

import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer import _core, precision
from gear_transfer.backbone import Backbone
from gear_transfer.precision import choose_precision, least_cosine

HAS_BF16 = _core.has_fast_bf16()


def pictures(n=9, size=128):
    return np.stack([gt.make_shape(["circle", "square", "triangle"][i % 3], size, i)
                     for i in range(n)])


def test_bf16_agrees_with_float32_or_is_refused():
    if not HAS_BF16:
        with pytest.raises(ValueError, match="no instructions for bf16"):
            Backbone.load(precision="bf16")
        return
    images = pictures()
    exact = Backbone.load(input_size=128).features(images)
    rounded = Backbone.load(input_size=128, precision="bf16").features(images)
    assert not np.array_equal(exact, rounded)
    assert least_cosine(exact, rounded) > 0.9997


def test_bf16_is_the_same_in_a_batch_alone_and_on_one_thread():
    if not HAS_BF16:
        assert Backbone.load(precision="auto").choose_precision(pictures()[:0]) == "float32"
        return
    images = pictures()
    backbone = Backbone.load(input_size=128, precision="bf16", threads=2)
    together = backbone.features(images)
    alone = np.concatenate([backbone.features(images[i:i + 1]) for i in range(len(images))])
    single = Backbone.load(input_size=128, precision="bf16", threads=1).features(images)
    assert np.array_equal(together, alone) and np.array_equal(together, single)


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


def test_auto_says_what_was_chosen_and_why():
    backbone = Backbone.load(input_size=128, precision="auto")
    assert backbone.precision == "auto"
    with pytest.raises(ValueError, match="first images"):
        backbone.primitives()
    features = backbone.features(pictures())
    assert backbone.precision == ("bf16" if HAS_BF16 else "float32")
    assert ("cosine" if HAS_BF16 else "no instructions") in backbone.precision_reason
    assert backbone.precision in backbone.summary()
    chosen = Backbone.load(input_size=128, precision=backbone.precision).features(pictures())
    assert np.array_equal(features, chosen)


def test_auto_refuses_what_does_not_agree(monkeypatch):
    monkeypatch.setattr(precision._core, "has_fast_bf16", lambda: True)
    features = {"float32": np.eye(3), "bf16": np.eye(3) + 0.1}
    choice = choose_precision(pictures(3), lambda images, name: features[name])
    assert choice.precision == "float32" and "refused" in choice.reason
    features["bf16"] = np.eye(3) + 1e-4
    assert choose_precision(pictures(3), lambda images, name: features[name]).precision == "bf16"


def test_cosine():
    left = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert least_cosine(left, left) == 1.0
    assert least_cosine(left, np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])) == 0.0
    assert least_cosine(np.zeros((1, 2)), np.ones((1, 2))) == 0.0


def test_bad_precision():
    with pytest.raises(ValueError, match="precision must be"):
        Backbone.load(precision="float16")


def test_model_keeps_its_precision(tmp_path):
    folder = gt.make_shapes(str(tmp_path / "shapes"), per_class=8)
    images = gt.load_folder(folder)
    model = gt.TransferClassifier(input_size=96).fit(images)
    model.save(tmp_path / "model.gtm")
    loaded = gt.load_model(tmp_path / "model.gtm")
    assert loaded.extractor_.backbone_.precision == model.extractor_.backbone_.precision != "auto"
    assert np.array_equal(loaded.predict_proba(images.paths), model.predict_proba(images.paths))


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_older_processors(isa, tmp_path):
    """oneDNN held to an older instruction set: float32 is chosen and the features are right."""
    np.save(str(tmp_path / "images.npy"), pictures())
    script = (
        "import sys, numpy as np\nfrom gear_transfer import _core\n"
        "from gear_transfer.backbone import Backbone\nfolder = sys.argv[1]\n"
        "backbone = Backbone.load(input_size=128, precision='auto')\n"
        "np.save(folder + '/features.npy', backbone.features(np.load(folder + '/images.npy')))\n"
        "print(_core.engine_info()[1], backbone.precision)\n")
    output = subprocess.check_output([sys.executable, "-c", script, str(tmp_path)],
                                     env=dict(os.environ, ONEDNN_MAX_CPU_ISA=isa))
    assert output.decode().split()[-1] == "float32"
    here = Backbone.load(input_size=128).features(pictures())
    there = np.load(str(tmp_path / "features.npy"))
    assert np.abs(here - there).max() <= 2e-5 * np.abs(here).max()
