"""Folders that are split already, tables of paths, and the habits of the sample notebooks."""
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pandas
import pytest
from PIL import Image

import gear_transfer as gt
from conftest import HOME
from gear_transfer import DatasetError, ImageError, ImageSet, TransferClassifier, load_folder
from gear_transfer.classifiers.sample import as_bytes

QUICK = dict(layer="mixed2", input_size=64, epochs=12, cache=False)


def write_image(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(str(path), "PNG")


def write_classes(folder, *names):
    for name in names:
        write_image(folder / name / "1.png")


def names(images):
    return [os.path.basename(os.path.dirname(path)) for path in images.paths]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conventions") / "shapes"
    return load_folder(gt.make_shapes(folder, per_class=10, size=64, random_state=1))


@pytest.fixture(scope="module")
def fitted(shapes):
    return TransferClassifier(**QUICK).fit(shapes)


# Split folders

@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
def test_parts(tmp_path, validation):
    write_classes(tmp_path / "train", "boots", "axes", "10", "9")
    write_classes(tmp_path / validation, "boots", "axes")
    write_classes(tmp_path / "test", "axes")
    write_classes(tmp_path / ".ipynb_checkpoints", "axes")
    write_classes(tmp_path / "train" / ".ipynb_checkpoints", "axes")
    (tmp_path / "readme.txt").write_text("x")
    write_classes(tmp_path / "extra", "axes")
    images = load_folder(tmp_path)
    assert images.classes == ["10", "9", "axes", "boots"] == names(images)
    assert names(images.validation) == ["axes", "boots"] and names(images.test) == ["axes"]
    assert images.test.labels.tolist() == ["axes"] and len(images) == 4
    assert sorted(os.path.basename(path) for path, _ in images.skipped) == ["extra", "readme.txt"]
    assert all("beside" in reason for _, reason in images.skipped)
    assert repr(images) == ("<ImageSet: 4 images of 4 classes, 2 skipped; 2 images to validate on; "
                            "1 image to test on>")
    with pytest.raises(ImageError, match="extra|readme"):
        load_folder(tmp_path, strict=True)


def test_parts_that_are_not_there(tmp_path):
    write_classes(tmp_path / "train", "a", "b")
    images = load_folder(tmp_path)
    assert images.classes == ["a", "b"] and images.validation is None and images.test is None
    write_classes(tmp_path / "test", "b")
    images = load_folder(tmp_path)
    assert images.validation is None and names(images.test) == ["b"]
    assert load_folder(tmp_path / "train").paths == images.paths


def test_a_class_may_be_called_train(tmp_path):
    write_classes(tmp_path, "train", "car", "Test")
    images = load_folder(tmp_path)
    assert images.classes == ["Test", "car", "train"] and images.test is None


@pytest.mark.parametrize("folders, part", [
    ({"train": "ab", "val": "abc"}, "has the class 'c', which 'train' does not have"),
    ({"train": "ab", "test": "A"}, "has the class 'A'"),
    ({"train": "ab", "val": "a", "dev": "b"}, "'val' and 'dev': only one"),
    ({"val": "ab", "test": "ab"}, "no folder 'train'"),
    ({"train": "a", "val": "a"}, "only one class")])
def test_bad_splits(tmp_path, folders, part):
    for name, classes in folders.items():
        write_classes(tmp_path / name, *classes)
    with pytest.raises(DatasetError) as caught:
        load_folder(tmp_path)
    assert part in str(caught.value)


def test_images_that_lie_directly_in_parts(tmp_path):
    for name in ("train", "test"):
        write_image(tmp_path / name / "1.png")
    with pytest.raises(DatasetError, match="lie directly in.*train"):
        load_folder(tmp_path)
    write_classes(tmp_path / "train", "a", "b")
    with pytest.warns(gt.DatasetWarning, match="test.* no class folders"):
        images = load_folder(tmp_path)
    assert images.classes == ["a", "b"] and images.test is None
    assert os.path.basename(images.skipped[-1].path) == "test"


def test_fit_validates_on_the_validation_images(shapes, tmp_path):
    for i, (path, label) in enumerate(zip(shapes.paths, shapes.labels)):
        folder = tmp_path / ("val" if i % 5 == 0 else "train") / label
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, str(folder))
    images = load_folder(tmp_path)
    assert len(images) == 24 and len(images.validation) == 6
    model = TransferClassifier(**QUICK).fit(images)
    other = TransferClassifier(**QUICK).fit(images.paths, images.labels,
                                            validation_data=images.validation)
    assert model.n_images_ == 24 and model.history_ == other.history_
    html = images._repr_html_()
    assert "<th>validation</th>" in html and "<td>8</td><td>2</td>" in html
    assert images.subset([0, 1]).validation is None


def test_load_images_below(tmp_path):
    write_image(tmp_path / "a" / "b" / "1.png")
    write_image(tmp_path / "2.png")
    assert len(gt.load_images(tmp_path)) == 1
    assert gt.load_images(tmp_path, recursive=True).paths == [
        str(tmp_path / "2.png"), str(tmp_path / "a" / "b" / "1.png")]
    os.remove(str(tmp_path / "2.png"))
    with pytest.raises(DatasetError, match="recursive=True"):
        gt.load_images(tmp_path)


# Tables

def test_frames(shapes, fitted):
    frame = pandas.DataFrame({"path": shapes.paths, "label": shapes.labels}).sample(
        frac=1, random_state=0)
    images = ImageSet.from_frame(frame)
    assert images.paths == frame["path"].tolist() and images.classes == shapes.classes
    assert images.labels.tolist() == frame["label"].tolist()
    renamed = frame.rename(columns={"path": "file", "label": 0}).astype({0: "category"})
    again = ImageSet.from_frame(renamed, path="file", label=0)
    assert again.paths == images.paths and again.labels.tolist() == images.labels.tolist()
    names_only = frame.assign(path=frame["path"].map(lambda path: pathlib.Path(path).name))
    home = ImageSet.from_frame(names_only, folder=pathlib.Path("some"))
    assert home.paths[0] == os.path.join("some", os.path.basename(images.paths[0]))
    model = TransferClassifier(**QUICK).fit(frame["path"], frame["label"])
    predicted = model.predict(frame["path"])
    assert (predicted == frame["label"]).mean() > 0.9
    assert model.score(frame["path"], frame["label"]) == (predicted == frame["label"]).mean()
    np.testing.assert_array_equal(fitted.predict(frame["path"]), fitted.predict(images.paths))


@pytest.mark.parametrize("frame, error, part", [
    ({"path": ["a", "b"]}, DatasetError, "no column 'label'; it has 'path'"),
    (pandas.DataFrame({"file": ["a"], "label": ["x"]}), DatasetError, "no column 'path'"),
    (pandas.DataFrame({"path": ["a", "b"], "label": ["x", None]}), DatasetError, "row 1 (b)"),
    (pandas.DataFrame({"path": ["a", "b"], "label": pandas.array([None, 3], "Int64")}),
     DatasetError, "row 0 (a)"),
    (pandas.DataFrame({"path": ["a", np.nan], "label": ["x", "y"]}), DatasetError, "in row 1"),
    (pandas.DataFrame({"path": [1, 2], "label": ["x", "y"]}), DatasetError, "must hold paths"),
    ([["a", "x"]], TypeError, "not list")])
def test_bad_frames(frame, error, part):
    with pytest.raises(error) as caught:
        ImageSet.from_frame(frame)
    assert part in str(caught.value)


# File names

def test_labels_from_the_names_of_files(shapes, tmp_path):
    for i, (path, label) in enumerate(zip(shapes.paths, shapes.labels)):
        shutil.copy(path, str(tmp_path / "big_{}_{}.jpg".format(label, i)))
    shutil.copy(shapes.paths[0], str(tmp_path / "other.jpg"))
    (tmp_path / "notes.txt").write_text("no picture")
    found = ImageSet.from_names(gt.load_images(tmp_path), r"^(big_[a-z]+)_\d+\.jpg$")
    assert found.classes == ["big_" + name for name in shapes.classes]
    assert len(found) == len(shapes)
    assert all(label in path for label, path in zip(found.labels, found.paths))
    assert sorted(os.path.basename(path) for path, _ in found.skipped) == ["notes.txt", "other.jpg"]
    assert "does not fit" in dict(found.skipped)[str(tmp_path / "other.jpg")]
    paths = [pathlib.Path("b_1") / "tent_2.png", "b_1/axe_7.png"]  # folders do not count
    assert ImageSet.from_names(paths, r"(.+)_\d").labels.tolist() == ["tent", "axe"]


@pytest.mark.parametrize("images, pattern, error, part", [
    (["a_1.jpg"], "(", ValueError, "regular expression"),
    (["a_1.jpg"], ".+", ValueError, "one group in parentheses"),
    (["a_1.jpg"], "(.)(.)", ValueError, "has 2"), (["a_1.jpg"], None, TypeError, "pattern"),
    (["a_1.jpg"], b"(.)", TypeError, "pattern"), ([3], "(.)", TypeError, "paths, not 3"),
    ("a_1.jpg", "(.)", TypeError, "images must be a sequence"),
    (["a_1.jpg"], r"(\d+)_", DatasetError, "a_1.jpg"),
    (["a_1.jpg"], "(x*)", DatasetError, "fits the name of no image"), ([], "(.)", DatasetError, "no")])
def test_names_that_say_nothing(images, pattern, error, part):
    with pytest.raises(error) as caught:
        ImageSet.from_names(images, pattern)
    assert part in str(caught.value)


def test_frames_where_images_are_wanted(shapes, fitted):
    frame = pandas.DataFrame({"path": shapes.paths, "label": shapes.labels})
    for call in (fitted.predict, lambda X: fitted.fit(X, frame["label"])):
        with pytest.raises(TypeError, match="from_frame"):
            call(frame)
    frame.loc[3, "label"] = None
    with pytest.raises(ValueError, match="no label for 1 of the images, the first is number 3"):
        TransferClassifier(**QUICK).fit(frame["path"], frame["label"])


def test_pandas_is_not_imported():
    process = subprocess.Popen([sys.executable, "-c", (
        "import sys, gear_transfer as gt\n"
        "gt.ImageSet.from_frame({'path': ['a'], 'label': ['x']}), gt.load_folder, gt.Backbone\n"
        "print('pandas' in sys.modules)")], cwd=HOME, stdout=subprocess.PIPE)
    assert process.communicate()[0].decode().strip() == "False"


# Habits of the sample

def resize_image(img, size):
    """As the hack's data preparation does it."""
    img.thumbnail(size)
    newimg = Image.new("RGB", size, (255, 255, 255))
    newimg.paste(img, (int((size[0] - img.size[0]) / 2), int((size[1] - img.size[1]) / 2)))
    return newimg


def test_predict_image(shapes, fitted):
    arrays = np.array([np.array(Image.open(path)) for path in shapes.paths[::7]])
    expected = fitted.predict(shapes.paths[::7]).tolist()
    assert gt.predict_image(fitted, arrays) == expected
    assert gt.predict_image(fitted, arrays[0].reshape((1,) + arrays[0].shape)) == expected[:1]
    assert gt.predict_image(fitted, arrays[0]) == expected[:1]
    assert gt.predict_image(fitted, arrays.astype("float32")) == expected
    assert gt.predict_image(fitted, arrays.astype("float32") / 255) == expected
    assert gt.predict_image(fitted, arrays.astype(np.int64)) == expected
    assert len(gt.predict_image(fitted, arrays[0][:, :, 0])) == 1
    assert gt.predict_image(fitted, arrays[:0]) == []


def test_bytes_from_pixels():
    np.testing.assert_array_equal(as_bytes(np.arange(256) / 255.0), np.arange(256))
    np.testing.assert_array_equal(as_bytes(np.float32([0, 1.5, 254.4, 255])), [0, 2, 254, 255])
    np.testing.assert_array_equal(as_bytes([0, 1]), [0, 1])


@pytest.mark.parametrize("array, part", [
    (np.zeros((1, 3, 64, 64), np.uint8), "(1, 3, 64, 64)"), (np.zeros(5, np.uint8), "(5,)"),
    (np.zeros((2, 8, 8)), "(2, 8, 8)"), (np.full((8, 8, 3), 256), "256"),
    (np.full((8, 8, 3), -0.1), "-0.1"), (np.full((8, 8, 3), np.nan), "nan"),
    (np.zeros((8, 8, 3), bool), "bool"), (np.zeros((0, 8, 8, 3)), "0 values")])
def test_pixels_that_make_no_sense(fitted, array, part):
    with pytest.raises(ValueError) as caught:
        gt.predict_image(fitted, array)
    assert part in str(caught.value) and "image_array" in str(caught.value)


@pytest.mark.slow
def test_resized_to_128_and_padded(tmp_path, shapes):
    """Photographs that the data preparation of the hack has shrunk work as they are."""
    wide = tmp_path / "resized_images"
    for path, label in zip(shapes.paths, shapes.labels):
        (wide / label).mkdir(parents=True, exist_ok=True)
        image = Image.open(path).resize((200, 150))
        resize_image(image, (128, 128)).save(str(wide / label / os.path.basename(path)))
    images = load_folder(wide)
    model = TransferClassifier(**dict(QUICK, input_size=128)).fit(images)
    assert model.score(images) > 0.9
    array = np.array(resize_image(Image.open(images.paths[0]), (128, 128)))
    assert array.shape == (128, 128, 3)
    assert gt.predict_image(model, array[np.newaxis]) == model.predict(images.paths[:1]).tolist()
    again = gt.read_image(Image.open(shapes.paths[0]).resize((200, 150)), (128, 128))
    assert np.abs(again.astype(int) - array).mean() < 4    # the same picture but for the filter
