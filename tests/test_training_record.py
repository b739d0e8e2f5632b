"""The photographs of a training: recorded, saved with the model, noticed by what measures."""
import copy
import os

import numpy as np
import pytest
from PIL import Image

import gear_transfer as gt
from gear_transfer.classifiers.description import training_text
from gear_transfer.importers import QuantizedArray
from gear_transfer.importers.native import read_network, write_network
from gear_transfer.photographs.duplicates import have_close
from gear_transfer.reporting.evidence import Evidence

QUICK = dict(layer="mixed0", input_size=75, epochs=8, precision="float32", cache=False, refit=False)


def paint(folder, numbers):
    """Photographs of two classes, bright and dark noise of coarse grain: each unlike all others."""
    for name, level in (("bright", 190), ("dark", 60)):
        os.makedirs(os.path.join(str(folder), name), exist_ok=True)
        for number in numbers:
            random = np.random.RandomState(1000 * level + number)
            grain = random.randint(-50, 50, (12, 12, 3)) + level
            image = Image.fromarray(grain.astype(np.uint8)).resize((160, 160), Image.BICUBIC)
            image.save(os.path.join(str(folder), name, "{:03d}.png".format(number)))
    return gt.load_folder(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("record") / "training", range(20))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("record") / "others", range(100, 112))


@pytest.fixture(scope="module")
def model(images):
    return gt.TransferClassifier(validation_fraction=0.2, **QUICK).fit(images)


@pytest.fixture(scope="module")
def loaded(model, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("record") / "model.gtm")
    model.save(path)
    return gt.load_model(path)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["model", "loaded"])
def test_photographs_of_the_training_are_known_again(request, images, others, which):
    model = request.getfixturevalue(which)
    seen = model.seen_in_training(images)
    held = np.isin(np.arange(len(images)), model.split_.validation)
    assert held.sum() == 8
    np.testing.assert_array_equal(seen.held, held)
    np.testing.assert_array_equal(seen.trained, ~held)
    seen = model.seen_in_training(others)
    assert not seen.trained.any() and not seen.held.any()
    assert not model.seen_in_training([os.devnull + "/none.jpg"]).trained.any()


@pytest.mark.slow
def test_in_another_form_too(loaded, images, tmp_path):
    again = []
    for i in loaded.split_.training[:6]:
        with Image.open(images.paths[i]) as image:
            image.resize((100, 100)).save(str(tmp_path / "{}.jpg".format(i)), quality=70)
        again.append(tmp_path / "{}.jpg".format(i))
    assert loaded.seen_in_training(again).trained.all()
    pixels = [np.asarray(Image.open(images.paths[i])) for i in loaded.split_.training[:3]]
    assert loaded.seen_in_training(pixels).trained.all()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    dict(group_duplicates=False), dict(validation_fraction=0), dict(augment=1)])
def test_whatever_was_validated_on(images, others, settings):
    model = gt.TransferClassifier(**dict(QUICK, epochs=1, **settings)).fit(images)
    seen = model.seen_in_training(images)
    assert (seen.trained | seen.held).all() and seen.held.sum() == len(model.split_.validation)
    model = gt.TransferClassifier(**dict(QUICK, epochs=1, **settings)).fit(
        images, validation_data=others)
    assert model.seen_in_training(images).trained.all()
    seen = model.seen_in_training(others)
    assert seen.held.all() and not seen.trained.any()


@pytest.mark.slow
def test_what_was_held_back_may_be_trained_on_in_the_end(images, others, tmp_path):
    model = gt.TransferClassifier(validation_fraction=0.2, **dict(QUICK, refit=True)).fit(images)
    assert len(model.split_.validation) == 8
    model.save(tmp_path / "model.gtm")
    for each in (model, gt.load_model(tmp_path / "model.gtm")):
        seen = each.seen_in_training(images)
        assert seen.trained.all() and not seen.held.any()
        assert "40 photographs (8 of them held back until the epochs were chosen)" in each.summary()
    assert Evidence(model, images, 0.9).other is None
    model.fit(images, validation_data=others)
    assert model.seen_in_training(others).held.all()
    assert "40 of 64 photographs (24 held back to watch the training)" in model.summary()


def test_arrays_are_recorded_by_their_pixels(images):
    pixels = np.stack([np.asarray(Image.open(path)) for path in images.paths])
    model = gt.TransferClassifier(validation_fraction=0, **dict(QUICK, epochs=1)).fit(
        pixels, images.labels)
    assert model.seen_in_training(pixels).trained.all()


def test_close_is_the_same_picture_and_not_the_same_kind():
    random = np.random.RandomState(0)
    known = random.rand(30, 512) < 0.4
    nearly = known[:5].copy()
    nearly[:, :8] = ~nearly[:, :8]
    assert have_close(nearly, known).all() and not have_close(random.rand(9, 512) < 0.4, known).any()
    assert have_close(nearly[:0], known).shape == (0,)
    assert not have_close(nearly, known[:0]).any()


# Files

def test_files_of_earlier_releases_do_not_tell(model, images, tmp_path):
    model.save(tmp_path / "model.gtm")
    network = read_network(tmp_path / "model.gtm")
    names = sorted(name for name in network.extra_arrays if name.startswith("training/"))
    assert names == ["training/bits", "training/contents", "training/held"]
    size = sum(network.extra_arrays[name].values.nbytes for name in names)
    assert size == 81 * len(images)
    for name in names:
        del network.extra_arrays[name]
    write_network(tmp_path / "earlier.gtm", network)
    earlier = gt.load_model(tmp_path / "earlier.gtm")
    assert earlier.seen_in_training(images) is None
    evidence = Evidence(earlier, images, 0.9)
    assert evidence.measures == "recipe" and evidence.seen is None
    assert "is not known" in evidence.method


@pytest.mark.parametrize("change", [
    lambda arrays: arrays.pop("training/bits"), lambda arrays: arrays.update(
        {"training/held": QuantizedArray(np.zeros(3, np.uint8), 1.0, 0.0)}),
    lambda arrays: arrays.update({"training/bits": np.zeros((40, 64), np.float32)})])
def test_damaged_hashes(model, tmp_path, change):
    model.save(tmp_path / "model.gtm")
    network = read_network(tmp_path / "model.gtm")
    change(network.extra_arrays)
    write_network(tmp_path / "model.gtm", network)
    with pytest.raises(gt.ModelFileError, match="hashes of the training photographs"):
        gt.load_model(tmp_path / "model.gtm")


# What is measured

@pytest.mark.slow
def test_a_report_on_held_out_photographs_measures_the_classifier(loaded, others, tmp_path):
    """Not heads that are trained anew: those are a second figure with a name of its own."""
    evidence = Evidence(loaded, others, 0.9)
    assert evidence.measures == "classifier" and evidence.seen == 0
    assert evidence.accuracy == loaded.score(others)
    np.testing.assert_array_equal(evidence.predicted, loaded.predict(others.paths))
    assert evidence.other.name == "the recipe, cross-validated on them"
    assert evidence.other.accuracy == evidence.validation.accuracy
    assert "predicted by the classifier itself" in evidence.method
    assert "Neither they nor near-duplicates" in evidence.method
    gt.report(loaded, others, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "accuracy of the classifier" in page and "the recipe, cross-validated on them" in page


@pytest.mark.slow
def test_a_report_on_its_training_photographs_does_not(loaded, images, tmp_path):
    evidence = Evidence(loaded, images, 0.9)
    assert evidence.measures == "recipe" and evidence.seen == 40
    assert "had 40 of these 40 photographs" in evidence.method
    assert evidence.accuracy == evidence.validation.accuracy
    held = loaded.split_.validation
    assert evidence.other.name == "the classifier, on photographs held back in its training"
    assert evidence.other.number == 8
    assert evidence.other.accuracy == loaded.score([images.paths[i] for i in held],
                                                   images.labels[held])
    gt.report(loaded, images, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "accuracy of the recipe, cross-validated" in page and "not trained on" not in page


@pytest.mark.slow
def test_photographs_of_the_training_are_left_out_of_the_figure(loaded, images, others):
    mixed = gt.ImageSet(others.paths + images.paths[:7],
                        others.labels.tolist() + images.labels[:7].tolist())
    evidence = Evidence(loaded, mixed, 0.9)
    assert evidence.measures == "classifier" and evidence.paths == others.paths
    assert evidence.seen == 7 and "The other 7 of 31 are left out" in evidence.method
    mostly = gt.ImageSet(images.paths + others.paths[:4],
                         images.labels.tolist() + others.labels[:4].tolist())
    evidence = Evidence(loaded, mostly, 0.9)
    assert evidence.measures == "recipe" and evidence.other.number == 4
    assert evidence.other.name == "the classifier, on photographs new to it"


def test_a_test_folder_with_photographs_of_the_training(loaded, images, others):
    part = gt.ImageSet(others.paths[:10] + images.paths[:2],
                       others.labels[:10].tolist() + images.labels[:2].tolist())
    split = gt.ImageSet(images.paths, images.labels, test=part)
    evidence = Evidence(loaded, split, 0.9)
    assert evidence.paths == others.paths[:10] and evidence.seen == 2 and evidence.other is None
    assert "10 photographs in the test folder were predicted by the classifier" in evidence.method


def test_a_validation_folder_may_have_watched(images, others):
    split = gt.ImageSet(images.paths, images.labels, validation=others)
    model = gt.TransferClassifier(**QUICK).fit(split)
    evidence = Evidence(model, split, 0.9)
    assert evidence.measures == "classifier" and len(evidence.paths) == len(others)
    assert "but 24 were held back to watch its training" in evidence.method


def test_how_many_were_trained_on_and_how_many_held_back(model, loaded, images):
    for each in (model, loaded):
        assert "trained on   32 of 40 photographs (8 held back to watch the training), 8 epochs" in (
            each.summary())
    whole = gt.TransferClassifier(validation_fraction=0, **dict(QUICK, epochs=1)).fit(images)
    assert training_text(whole) == "40 photographs"
    again = copy.copy(model)
    again.refit = True
    assert training_text(again) == (
        "40 photographs (8 of them held back until the epochs were chosen)")
    again.n_images_ = 32  # those to validate on were given apart
    assert training_text(again).startswith("32 of 40 photographs")
