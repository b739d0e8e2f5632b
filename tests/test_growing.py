"""Photographs and classes join a classifier without those that it was trained on."""
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import gear_transfer as gt
from gear_transfer import cli
from gear_transfer.classifiers.kept_features import KeptFeatures, TrainingFeatures
from gear_transfer.importers.native import read_network, write_network

QUICK = dict(layer="mixed0", input_size=75, epochs=15, precision="float32", cache=False, verbose=0,
             backbone="inception_v3")
LEVELS = {"bright": 190, "dark": 60, "red": 120}


def paint(folder, classes, numbers):
    """Noise of coarse grain, brighter, darker or redder: each unlike all others."""
    for name in classes:
        os.makedirs(os.path.join(str(folder), name), exist_ok=True)
        for number in numbers:
            random = np.random.RandomState(1000 * LEVELS[name] + number)
            grain = random.randint(-50, 50, (12, 12, 3)) + LEVELS[name]
            grain[..., 1:] -= 60 * (name == "red")
            image = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))
            image.resize((120, 120), Image.BICUBIC).save(
                os.path.join(str(folder), name, "{:03d}.png".format(number)))
    return gt.load_folder(folder, least_classes=1)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("growing") / "first", ["bright", "dark"], range(16))


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growing") / "more"
    paint(folder, ["bright"], range(16, 22))
    return paint(folder, ["red"], range(14))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("growing") / "others", sorted(LEVELS), range(50, 60))


@pytest.fixture(scope="module")
def saved(first, tmp_path_factory):
    path = tmp_path_factory.mktemp("growing") / "model.gtm"
    gt.TransferClassifier(keep_features=True, **QUICK).fit(first).save(path)
    return str(path)


def together(*sets):
    return gt.ImageSet(sum((images.paths for images in sets), []),
                       np.concatenate([images.labels for images in sets]))


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [False, True])
def test_as_good_as_training_anew(first, more, others, tmp_path, loaded):
    anew = gt.TransferClassifier(**QUICK).fit(together(first, more))
    model = gt.TransferClassifier(keep_features=True, **QUICK).fit(first)
    if loaded:
        model.save(tmp_path / "model.gtm")
        model = gt.load_model(tmp_path / "model.gtm", verbose=0, cache=False)
    assert model.add(more) is model and model.added_ == (len(more), 0, 0)
    assert model.classes_.tolist() == ["bright", "dark", "red"]
    np.testing.assert_array_equal(model.split_.parts, anew.split_.parts)
    np.testing.assert_allclose(model.predict_proba(others.paths), anew.predict_proba(others.paths),
                               atol=1e-9 if not loaded else 2e-3)
    assert model.score(others) == anew.score(others) >= 0.9
    seen = model.seen_in_training(together(first, more))
    assert seen.trained.all() and not model.seen_in_training(others).trained.any()
    assert model.n_images_ == len(first) + len(more)
    model.save(tmp_path / "grown.gtm")
    again = gt.load_model(tmp_path / "grown.gtm", verbose=0, cache=False)
    np.testing.assert_array_equal(again.predict_proba(others.paths),
                                  model.predict_proba(others.paths))
    known = again.known_score(others.paths)
    np.testing.assert_allclose(known, anew.known_score(others.paths), atol=0.15)
    assert (known > 0.05).mean() > 0.5


@pytest.mark.slow
def test_step_by_step_as_at_once(saved, more, others, tmp_path):
    once = gt.load_model(saved, verbose=0, cache=False).add(more)
    model = gt.load_model(saved, verbose=0, cache=False)
    for images in (more.subset(np.arange(12)), more.subset(np.arange(12, 20))):
        model.add(images)
        model.save(tmp_path / "model.gtm")
        model = gt.load_model(tmp_path / "model.gtm", verbose=0, cache=False)
    np.testing.assert_allclose(model.predict_proba(others.paths),
                               once.predict_proba(others.paths), atol=1e-4)


def test_known_photographs_take_their_new_label(saved, first):
    model = gt.load_model(saved, verbose=0, cache=False)
    before = model.head_.coefs_[0].copy()
    model.add(first)
    assert model.added_ == (0, len(first), 0)
    labels = first.labels.copy()
    labels[:3] = "dark"
    model.add(first.paths, labels)
    assert model.added_ == (0, len(first), 3) and model.n_images_ == len(first)
    assert not np.allclose(before, model.head_.coefs_[0])
    with pytest.warns(gt.errors.DatasetWarning, match="a class of a longer name"):
        model.add([first.paths[0]], ["a class of a longer name"])
    assert "a class of a longer name" in model.classes_.tolist()


def test_photographs_given_apart_to_validate_on_stay_so(first, more, others, tmp_path):
    split = gt.ImageSet(first.paths, first.labels, validation=others.subset(np.arange(20)))
    gt.TransferClassifier(keep_features=True, **QUICK).fit(split).save(tmp_path / "model.gtm")
    model = gt.load_model(tmp_path / "model.gtm", verbose=0, cache=False)
    coming = gt.ImageSet(more.paths, more.labels, validation=others.subset(np.arange(20, 30)))
    model.add(coming)
    assert len(model.split_.training) == len(first) + len(more)
    seen = model.seen_in_training(others)
    assert seen.held.all() and not seen.trained.any()
    assert len(model.history_["val_loss"]) == QUICK["epochs"]


def test_a_val_folder_joins_the_others_where_none_were_apart(saved, more, others):
    coming = gt.ImageSet(more.paths, more.labels, validation=others)
    model = gt.load_model(saved, verbose=0, cache=False).add(coming)
    assert model.n_images_ == 32 + len(more) + len(others)


def test_groups_that_were_given_stay_whole(first, more, tmp_path):
    groups = np.arange(len(first)) // 2
    model = gt.TransferClassifier(keep_features=True, **QUICK).fit(first, groups=groups)
    model.save(tmp_path / "model.gtm")
    model = gt.load_model(tmp_path / "model.gtm", verbose=0, cache=False).add(more)
    assert not model.split_.straddling()
    np.testing.assert_array_equal(model.split_.groups[:len(first)], groups)
    assert len(set(model.split_.groups[len(first):].tolist())) == len(more)


def test_without_kept_features_it_says_what_to_do(first, more, saved, tmp_path):
    gt.load_model(saved).save(tmp_path / "bare.gtm", keep_features=False)
    bare = gt.load_model(tmp_path / "bare.gtm")
    with pytest.raises(gt.DatasetError, match="keep_features=True .*--keep-features"):
        bare.add(more)
    with pytest.raises(gt.ModelFileError, match="saved without them"):
        bare.save(tmp_path / "again.gtm", keep_features=True)
    views = gt.TransferClassifier(augment=1, **dict(QUICK, epochs=1)).fit(first)
    with pytest.raises(gt.DatasetError, match="augment=1"):
        views.add(more)


def test_sixteen_bits_a_number(saved, first):
    kept = [array for name, array in read_network(saved).extra_arrays.items()
            if name == "kept/features"][0]
    assert kept.dtype == np.float16 and kept.nbytes == 2 * len(first) * kept.shape[1]
    model = gt.load_model(saved)
    assert "{:.1f} MB of the file".format(kept.nbytes / 1e6) in model.summary()


def test_rounding_again_changes_nothing():
    rng = np.random.RandomState(0)
    features = (rng.randn(50, 7) * 10.0 ** np.arange(-18, 24, 6)).astype(np.float32)
    features[:, 3] = 0
    labels = np.repeat(["a", "b"], 25)
    known = TrainingFeatures(features, labels, None, False, features[:0], labels[:0])
    kept = KeptFeatures.of(known, np.array(["a", "b"]))
    back = kept.restored()
    np.testing.assert_allclose(back.features, features, atol=2.0 ** -11 * np.abs(features).max(),
                               rtol=0)
    worst = (np.abs(back.features - features) / np.maximum(np.abs(features).max(axis=0), 1e-30))
    assert worst.max() < 2.0 ** -10
    np.testing.assert_array_equal(KeptFeatures.of(back, kept.classes).restored().features,
                                  back.features)


@pytest.mark.parametrize("change", [
    lambda arrays: arrays.pop("kept/labels"), lambda arrays: arrays.pop("kept/exponents"),
    lambda arrays: arrays.update({"kept/features": arrays["kept/features"][:20]}),
    lambda arrays: arrays.update({"kept/features": np.full_like(arrays["kept/features"], 3)}),
    lambda arrays: arrays.update({"kept/exponents": arrays["kept/exponents"] + np.float32(0.5)}),
    lambda arrays: arrays.update({"kept/more": arrays["kept/exponents"]}),
    lambda arrays: arrays["kept/labels"].values.__setitem__((0, 0), 9)])
def test_damaged_features(saved, tmp_path, change):
    network = read_network(saved)
    network.extra_arrays["kept/labels"].values = network.extra_arrays["kept/labels"].values.copy()
    change(network.extra_arrays)
    write_network(tmp_path / "model.gtm", network)
    with pytest.raises(gt.ModelFileError, match="kept features of the training photographs"):
        gt.load_model(tmp_path / "model.gtm")


# The command line

def test_train_from_a_saved_classifier(saved, more, tmp_path, capsys):
    path = str(tmp_path / "model.gtm")
    shutil.copy(saved, path)
    folder = os.path.dirname(os.path.dirname(more.paths[0]))
    assert cli.main(["train", "--from", path, folder, "--json", "--quiet", "--no-cache"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["added"] == {"new": len(more), "known": 0, "relabelled": 0}
    assert facts["classes"] == ["bright", "dark", "red"] and facts["kept_bytes"] > 0
    assert cli.main(["train", "--from", path, folder, str(tmp_path / "other.gtm"),
                     "--quiet", "--no-cache"]) == 0
    assert "added        0 photographs; {} were known".format(len(more)) in capsys.readouterr().out
    assert gt.load_model(path).n_images_ == gt.load_model(tmp_path / "other.gtm").n_images_


def test_train_keeps_features_where_asked(first, tmp_path, capsys):
    folder = os.path.dirname(os.path.dirname(first.paths[0]))
    settings = ["--backbone", "inception_v3", "--layer", "mixed0", "--input-size", "75", "--epochs",
                "2", "--precision", "float32", "--no-cache", "--quiet"]
    assert cli.main(["train", folder, str(tmp_path / "model.gtm"), "--keep-features"] + settings) == 0
    assert "for others to join" in capsys.readouterr().out
    assert gt.load_model(tmp_path / "model.gtm").keep_features


@pytest.mark.parametrize("wrong", [["--layer", "mixed0"], ["--tune"], ["--augment", "2"]])
def test_settings_of_another_classifier_are_refused(saved, tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--from", saved, str(tmp_path)] + wrong)
    assert stopped.value.code == 2 and wrong[0] in capsys.readouterr().err
