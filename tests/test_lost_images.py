"""Classes, parts of a split and files that were lost without a word."""
import json
import os
import shutil
import unicodedata

import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer import DatasetWarning, cli, load_folder
from gear_transfer.photographs.folder_search import role_of
from test_folder_conventions import names, write_classes, write_image

QUICK = dict(layer="mixed2", input_size=64, epochs=6, cache=False)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return gt.make_shapes(tmp_path_factory.mktemp("lost") / "shapes", per_class=8, size=64)


@pytest.fixture(scope="module")
def model(shapes):
    path = os.path.join(os.path.dirname(shapes), "shapes.gtm")
    gt.TransferClassifier(**QUICK).fit(load_folder(shapes)).save(path)
    return path


# Splits

@pytest.mark.parametrize("training, other, part", [
    ("Train", "Test", "test"), ("training", "validation", "validation"), ("TRAIN", "VALID", "validation"),
    ("training_set", "test_set", "test"), ("train", "Val", "validation"), ("train", "eval", "validation"),
    ("seg_train", "seg_test", "test"), ("TrainSet", "ValSet", "validation"), ("train2017", "val2017", "validation"),
    ("train_images", "test-images", "test"), ("Training Data", "Testing Data", "test"),
    ("train", "Dev", "validation"), ("Training", "Evaluation", "validation")])
def test_usual_names_of_the_parts_of_a_split(tmp_path, training, other, part):
    write_classes(tmp_path / training, "a", "b")
    write_classes(tmp_path / other, "a")
    images = load_folder(tmp_path)
    assert images.classes == ["a", "b"] == names(images) and names(getattr(images, part)) == ["a"]


@pytest.mark.parametrize("name", ["train_1", "trainers", "tests", "testing kit", "axes", "123", "",
                                  "validator", "bullet trains", "training shoes", "image", "set"])
def test_names_that_are_no_part_of_a_split(name):
    assert role_of(name) is None


def test_folders_that_look_like_parts_under_names_of_their_own(tmp_path):
    for name in ("fold_a", "fold_b"):
        write_classes(tmp_path / name, "axe", "tent")
    with pytest.warns(DatasetWarning, match="same sub-folders .'axe', 'tent'.*parts of a split and not"):
        assert load_folder(tmp_path).classes == ["fold_a", "fold_b"]


def test_parts_of_a_split_within_the_classes(tmp_path):
    for name in ("axe", "tent"):
        write_classes(tmp_path / name, "train", "val")
    with pytest.warns(DatasetWarning, match="within the classes"):
        assert load_folder(tmp_path).classes == ["axe", "tent"]


def test_what_archives_leave_behind(tmp_path):
    for name in ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found", "__pycache__"):
        write_image(tmp_path / name / "1.png")
        write_image(tmp_path / "a" / name / "1.png")
    write_classes(tmp_path, "a", "b")
    images = load_folder(tmp_path)
    assert names(images) == ["a", "b"] and not images.skipped


def test_a_folder_in_a_folder_of_its_own(tmp_path):
    write_classes(tmp_path / "gear", "a", "b")
    with pytest.raises(gt.DatasetError, match="Did you mean '.*gear'"):
        load_folder(tmp_path)


def test_validation_and_evaluation_need_one_class(shapes, model, tmp_path, capsys):
    shutil.copytree(shapes, str(tmp_path / "train"))
    shutil.copytree(os.path.join(shapes, "circle"), str(tmp_path / "val" / "circle"))
    fitted = gt.TransferClassifier(**QUICK).fit(load_folder(tmp_path))
    assert len(fitted.split_.validation) == 8
    assert cli.main(["evaluate", model, str(tmp_path / "val"), "--json", "--no-cache"]) == 0
    assert json.loads(capsys.readouterr()[0])["images"] == 8
    with pytest.raises(gt.DatasetError, match="only one class"):
        load_folder(tmp_path / "val")
    assert load_folder(tmp_path / "val", least_classes=1).classes == ["circle"]


# Classes

def test_a_class_whose_files_cannot_be_read(tmp_path):
    write_classes(tmp_path, "a", "b")
    (tmp_path / "tents").mkdir()
    for i in range(8):
        (tmp_path / "tents" / "IMG_{}.HEIC".format(i)).write_bytes(bytes(3) + b"\x18ftypheic" + bytes(200))
    (tmp_path / "empty").mkdir()
    with pytest.warns(DatasetWarning, match="2 classes .*'empty' .it is empty.; 'tents' .of the first "
                                            "file and 7 more: it is a HEIC"):
        assert load_folder(tmp_path).classes == ["a", "b"]


def store(tmp_path):
    """A folder elsewhere, as DVC and git-annex have one."""
    write_classes(tmp_path / "store", "a", "b", "c")
    (tmp_path / "gear").mkdir()
    return tmp_path / "store", tmp_path / "gear"


def test_class_folders_that_are_links(tmp_path):
    outside, folder = store(tmp_path)
    for name in "abc":
        os.symlink(str(outside / name), str(folder / name))
    with pytest.raises(gt.DatasetError, match="no sub-folders that may be searched.*out of the folder.*follow_links"):
        load_folder(folder)
    assert names(load_folder(folder, follow_links=True)) == ["a", "b", "c"]
    os.remove(str(folder / "a")), os.remove(str(folder / "b"))
    write_classes(folder, "a", "b")
    with pytest.warns(DatasetWarning, match="1 class .* lost.*'c'"):
        assert load_folder(folder).classes == ["a", "b"]


def test_photographs_that_are_links(tmp_path):
    outside, folder = store(tmp_path)
    for name in "abc":
        (folder / name).mkdir()
        os.symlink(str(outside / name / "1.png"), str(folder / name / "1.png"))
    with pytest.raises(gt.DatasetError, match="follow_links=True, --follow-links"):
        load_folder(folder)
    assert names(load_folder(folder, follow_links=True)) == ["a", "b", "c"]
    assert len(gt.load_images(folder, recursive=True, follow_links=True)) == 3


def test_a_part_of_a_split_that_is_a_link(tmp_path):
    outside, folder = store(tmp_path)
    write_classes(folder / "train", "a", "b", "c")
    os.symlink(str(outside), str(folder / "val"))
    with pytest.warns(DatasetWarning, match="'val', for links are not followed"):
        assert load_folder(folder).validation is None
    assert len(load_folder(folder, follow_links=True).validation) == 3


def test_links_in_circles_end(tmp_path):
    outside, folder = store(tmp_path)
    write_classes(folder, "a", "b")
    os.symlink(str(outside), str(folder / "a" / "away"))
    os.symlink(str(outside), str(outside / "self"))
    os.symlink(str(folder), str(outside / "back"))
    images = load_folder(folder, follow_links=True)
    assert len(images) == 2 + 3 and len(images.skipped) == 2
    with pytest.raises(gt.ImageError):
        load_folder(folder, strict=True, follow_links=True)


@pytest.mark.slow
def test_links_on_the_command_line(shapes, model, tmp_path, capsys):
    for name in ("circle", "square"):
        (tmp_path / name).mkdir()
        for file in os.listdir(os.path.join(shapes, name)):
            os.symlink(os.path.join(shapes, name, file), str(tmp_path / name / file))
    for command in (["evaluate", model, str(tmp_path)], ["predict", model, str(tmp_path)],
                    ["train", str(tmp_path), str(tmp_path / "m.gtm"), "--epochs", "2"],
                    ["report", model, str(tmp_path), str(tmp_path / "page.html")]):
        command += ["--no-cache", "--quiet"]
        assert cli.main(command) == 1, command
        assert cli.main(command + ["--follow-links"]) == 0, command
    capsys.readouterr()


# Names

@pytest.mark.slow
def test_names_that_differ_in_their_form_alone(shapes, tmp_path, capsys):
    accents = "caf\u00e9"
    for form in ("NFD", "NFC"):
        for source, name in (("circle", accents), ("square", "tent")):
            shutil.copytree(os.path.join(shapes, source),
                            str(tmp_path / form / unicodedata.normalize(form, name)))
    decomposed = load_folder(tmp_path / "NFD")
    assert decomposed.classes == load_folder(tmp_path / "NFC").classes == [accents, "tent"]
    labels = np.array([unicodedata.normalize("NFD", each) for each in decomposed.labels.tolist()])
    for i, y in enumerate((decomposed.labels, labels)):
        path = str(tmp_path / "{}.gtm".format(i))
        gt.TransferClassifier(**QUICK).fit(decomposed.paths, y).save(path)
        assert cli.main(["evaluate", path, str(tmp_path / "NFC"), "--no-cache", "--json"]) == 0
        assert json.loads(capsys.readouterr()[0])["accuracy"] > 0.5
    shutil.copytree(str(tmp_path / "NFD"), str(tmp_path / "split" / "train"))
    shutil.copytree(str(tmp_path / "NFC"), str(tmp_path / "split" / "val"))
    assert len(load_folder(tmp_path / "split").validation) == 16
    named = gt.ImageSet.from_names([unicodedata.normalize("NFD", accents) + "_1.jpg"], r"(.+)_\d+")
    assert named.classes == [accents]


# Files

@pytest.mark.slow
def test_unreadable_files_are_told_of_and_exit_with_3(shapes, model, tmp_path, capsys):
    for name in ("circle", "square"):
        shutil.copytree(os.path.join(shapes, name), str(tmp_path / name))
    (tmp_path / "readme.txt").write_text("x")
    assert cli.main(["evaluate", model, str(tmp_path), "--no-cache"]) == 0
    bad = tmp_path / "circle" / "bad.jpg"
    bad.write_bytes(b"no picture")
    capsys.readouterr()
    assert cli.main(["evaluate", model, str(tmp_path), "--no-cache", "--json"]) == 3
    output, errors = capsys.readouterr()
    assert json.loads(output)["unreadable"] == [str(bad)] and str(bad) in errors
    assert cli.main(["evaluate", model, str(tmp_path), "--no-cache", "--target", "1"]) in (3, 4)
    page = str(tmp_path / "page.html")
    assert cli.main(["report", model, str(tmp_path), page, "--no-cache"]) == 3
    assert str(bad) in capsys.readouterr()[1]


@pytest.mark.slow
def test_a_class_of_one_photograph_stays_in_training(shapes):
    images = load_folder(shapes)
    lonely = images.subset(np.append(np.flatnonzero(images.labels != "triangle"),
                                     np.flatnonzero(images.labels == "triangle")[0]))
    model = gt.TransferClassifier("inception_v3", calibrate=False, **QUICK)
    with pytest.warns(DatasetWarning, match="1 class .*'triangle' .1 photograph.*not validated"):
        model.fit(lonely)
    assert model.classes_.tolist() == ["circle", "square", "triangle"]
    assert "val_accuracy" in model.history_ and len(model.split_.validation) == 2
    samples = gt.compute_features(lonely, model)
    with pytest.warns(DatasetWarning, match="triangle"):
        result = gt.cross_validate(samples, estimator=model, folds=4)
    assert result.right[:-1].mean() > 0.7 and not result.right[-1]
    assert gt.learning_curve(samples, estimator=model, folds=4).sizes[-1] > 10
    with pytest.warns(DatasetWarning, match="triangle"):
        gt.learning_curve(gt.compute_features(lonely, model), estimator=model, folds=4)
    with pytest.warns(DatasetWarning, match="triangle") as seen:
        gt.tune(lonely, sizes=[64], layers=["mixed0"], model=model, folds=4, repeats=2)
    assert len(seen) == 1
