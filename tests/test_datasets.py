"""The generated shapes."""
import os

import numpy as np
import pytest
from PIL import Image

from gear_transfer.errors import DatasetError
from gear_transfer.photographs import datasets
from gear_transfer.photographs.datasets import SHAPES, make_shape, make_shapes
from gear_transfer.photographs.image_set import load_folder


def contents(folder):
    found = {}
    for parent, _, names in os.walk(str(folder)):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, str(folder))] = stream.read()
    return found


@pytest.mark.parametrize("size", [32, 128, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_what_it_is_called(shape, size):
    pixels = make_shape(shape, size, random_state=3)
    assert pixels.shape == (size, size, 3) and pixels.dtype == np.uint8
    inked = (pixels != 255).any(axis=2)
    assert len(np.unique(pixels[inked].reshape(-1, 3), axis=0)) == 1 and pixels[inked].max() <= 200
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    assert rows[0] == columns[0] and rows[-1] == columns[-1]
    filled = inked[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].mean()
    low, high = {"circle": (0.72, 0.85), "square": (1, 1), "triangle": (0.48, 0.62)}[shape]
    assert low <= filled <= high


def test_corners_lie_where_the_sample_has_them():
    starts, ends = [], []
    for seed in range(300):
        rows = np.flatnonzero((make_shape("square", random_state=seed) != 255).any(axis=(1, 2)))
        starts.append(rows[0])
        ends.append(rows[-1])
    assert (min(starts), max(starts)) == (10, 40) and (min(ends), max(ends)) == (60, 100)


def test_same_seed_same_picture():
    np.testing.assert_array_equal(make_shape("circle", random_state=1),
                                  make_shape("circle", random_state=1))
    assert (make_shape("circle", random_state=1) != make_shape("circle", random_state=2)).any()
    rng = np.random.RandomState(0)
    assert (make_shape("circle", random_state=rng) != make_shape("circle", random_state=rng)).any()


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="circle, square, triangle"):
        make_shape("star")
    with pytest.raises(ValueError, match="size"):
        make_shape("circle", 2)
    with pytest.raises(ValueError, match="per_class"):
        make_shapes(tmp_path / "s", per_class=0)
    assert os.listdir(str(tmp_path)) == []


def test_folder(tmp_path):
    folder = make_shapes(tmp_path / "deeper" / "shapes", per_class=7)
    assert folder == str(tmp_path / "deeper" / "shapes")
    images = load_folder(folder, strict=True)
    assert images.counts() == {"circle": 7, "square": 7, "triangle": 7}
    with Image.open(images.paths[0]) as image:
        assert image.format == "JPEG" and image.size == (128, 128)
    assert os.listdir(str(tmp_path / "deeper")) == ["shapes"]
    other = make_shapes(tmp_path / "again", per_class=7)
    assert contents(other) == contents(folder)
    third = make_shapes(tmp_path / "third", per_class=7, random_state=1)
    assert contents(third) != contents(folder)


def test_same_set_is_reused(tmp_path, monkeypatch):
    folder = make_shapes(tmp_path / "s", per_class=3)
    (tmp_path / "s" / ".DS_Store").write_text("x")
    monkeypatch.setattr(datasets, "_build", None)
    assert make_shapes(tmp_path / "s", per_class=3) == folder


@pytest.mark.parametrize("options", [{"per_class": 4}, {"size": 64}, {"random_state": 5}])
def test_another_set_is_refused(tmp_path, options):
    make_shapes(tmp_path / "s", per_class=3)
    before = contents(tmp_path)
    with pytest.raises(DatasetError, match="something else"):
        make_shapes(tmp_path / "s", **dict({"per_class": 3}, **options))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["mine.txt", "circle/mine.jpg", "star/1.jpg"])
def test_other_files_are_refused_and_kept(tmp_path, name):
    make_shapes(tmp_path / "s", per_class=2)
    (tmp_path / "s" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "s" / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(DatasetError, match="something else"):
        make_shapes(tmp_path / "s", per_class=2)
    assert contents(tmp_path) == before


def test_a_file_of_that_name_is_refused(tmp_path):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(DatasetError, match="something else"):
        make_shapes(tmp_path / "s", per_class=2)
    with pytest.raises(DatasetError, match="cannot make"):
        make_shapes(tmp_path / "s" / "below", per_class=2)
    assert (tmp_path / "s").read_text() == "mine"


def test_a_damaged_set_is_refused(tmp_path):
    make_shapes(tmp_path / "s", per_class=2)
    (tmp_path / "s" / "circle" / "circle001.jpg").write_text("broken")
    with pytest.raises(DatasetError, match="something else"):
        make_shapes(tmp_path / "s", per_class=2)


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "s").mkdir()
    assert len(load_folder(make_shapes(tmp_path / "s", per_class=2))) == 6


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_failed_run(tmp_path, monkeypatch, error):
    saved = []

    def save(self, path, **_):
        saved.append(path)
        if len(saved) == 5:
            raise error
        with open(path, "wb"):
            pass
    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DatasetError):
        make_shapes(tmp_path / "s", per_class=4)
    assert len(saved) == 5 and os.listdir(str(tmp_path)) == []
