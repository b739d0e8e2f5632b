"""Folders of images: classes, what is skipped, what is an error."""
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from gear_transfer.errors import DatasetError, DatasetWarning, ImageError
from gear_transfer.photographs.image_set import ImageSet, SkippedFile, load_folder, load_images


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(str(path), "PNG")


@pytest.fixture
def folder(tmp_path):
    """Two classes: boots (two images, one deeper) and axes (one)."""
    root = tmp_path / "gear"
    write_image(root / "boots" / "b.png")
    write_image(root / "boots" / "deep" / "er" / "a.jpg")
    write_image(root / "axes" / "z.png")
    return root


def link(target, path):
    try:
        os.symlink(str(target), str(path), target_is_directory=os.path.isdir(str(target)))
    except (OSError, NotImplementedError):
        pytest.skip("no symbolic links here")


def reasons(images):
    return {os.path.basename(path): reason for path, reason in images.skipped}


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_classes_paths_and_labels(folder, kind):
    images = load_folder(kind(str(folder)))
    assert images.classes == ["axes", "boots"]
    assert images.labels.tolist() == ["axes", "boots", "boots"]
    assert images.labels.dtype.kind == "U"
    assert images.paths == [str(folder / "axes" / "z.png"), str(folder / "boots" / "b.png"),
                            str(folder / "boots" / "deep" / "er" / "a.jpg")]
    assert all(type(path) is str for path in images.paths)
    assert images.skipped == [] and len(images) == 3
    assert list(images.counts().items()) == [("axes", 1), ("boots", 2)]
    assert repr(images) == "<ImageSet: 3 images of 2 classes, 0 skipped>"


def test_order_does_not_depend_on_the_file_system(folder, monkeypatch):
    for name in ("10.png", "9.png", "B.png", "a.png"):
        write_image(folder / "boots" / name)
    expected = load_folder(folder).paths
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listdir(path)[::-1])
    assert load_folder(folder).paths == expected
    assert load_folder(str(folder) + os.sep).labels.tolist() == load_folder(folder).labels.tolist()


def test_hidden_and_system_files_are_ignored(folder):
    write_image(folder / ".ipynb_checkpoints" / "x.png")
    write_image(folder / "boots" / ".ipynb_checkpoints" / "x.png")
    write_image(folder / "boots" / ".hidden.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (folder / "boots" / name).write_text("x")
        (folder / name).write_text("x")
    images = load_folder(folder, strict=True)
    assert len(images) == 3 and images.classes == ["axes", "boots"] and not images.skipped


def test_bad_files_are_reported(folder):
    (folder / "boots" / "text.jpg").write_text("I am text")
    (folder / "boots" / "empty.png").write_bytes(b"")
    (folder / "readme.txt").write_text("x")
    (folder / "nothing" / "below").mkdir(parents=True)
    with pytest.warns(DatasetWarning, match="1 class .* lost.*'nothing' .it is empty"):
        images = load_folder(folder)
    assert len(images) == 3 and images.classes == ["axes", "boots"]
    found = reasons(images)
    assert sorted(found) == ["empty.png", "nothing", "readme.txt", "text.jpg"]
    assert "not a JPEG" in found["text.jpg"] and "empty" in found["empty.png"]
    assert found["nothing"] == "no images" and "beside" in found["readme.txt"]
    assert all(isinstance(entry, SkippedFile) for entry in images.skipped)
    assert os.path.exists(images.skipped[0].path)


@pytest.mark.parametrize("bad", ["boots/text.jpg", "text.jpg"])
def test_strict_raises_at_a_bad_file(folder, bad):
    (folder / bad).write_text("I am text")
    with pytest.raises(ImageError, match="text.jpg"):
        load_folder(folder, strict=True)


def test_only_headers_are_read(folder):
    path = folder / "boots" / "cut.png"
    write_image(path)
    path.write_bytes(path.read_bytes()[:44])
    assert str(path) in load_folder(folder).paths


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_is_reported(folder):
    os.mkfifo(str(folder / "boots" / "pipe.jpg"))
    assert "pipe" in reasons(load_folder(folder))["pipe.jpg"]


def test_links(folder, tmp_path):
    write_image(tmp_path / "gear_outside" / "o.png")
    link(folder, folder / "boots" / "loop")
    link(folder / "boots", folder / "boots" / "self")
    link(folder / "axes", folder / "boots" / "inner")
    link(tmp_path / "gear_outside", folder / "boots" / "away")
    link(tmp_path / "gear_outside", folder / "helmets")
    link(tmp_path / "gear_outside" / "o.png", folder / "boots" / "away.png")
    link(folder / "nowhere.png", folder / "boots" / "broken.png")
    link(folder / "boots" / "round.png", folder / "boots" / "round.png")
    link(folder / "axes" / "z.png", folder / "boots" / "c.png")
    with pytest.warns(DatasetWarning, match="1 class .* lost, .*'helmets'"):
        images = load_folder(folder)
    assert [os.path.basename(path) for path in images.paths] == ["z.png", "b.png", "c.png", "a.jpg"]
    found = reasons(images)
    assert sorted(found) == ["away", "away.png", "broken.png", "helmets", "inner", "loop",
                             "round.png", "self"]
    assert all("symbolic link" in reason for reason in found.values())
    for name in ("away", "away.png", "helmets"):
        assert "out of the folder" in found[name]


def test_folder_that_is_itself_a_link(folder, tmp_path):
    link(folder, tmp_path / "shortcut")
    assert len(load_folder(tmp_path / "shortcut")) == 3


def test_unreadable_folder_is_reported(folder, monkeypatch):
    listdir = os.listdir

    def some_entries(path):
        if os.path.basename(path) == "deep":
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)
    monkeypatch.setattr(os, "listdir", some_entries)
    images = load_folder(folder)
    assert len(images) == 2 and "Permission denied" in reasons(images)["deep"]

    def no_entry(path):
        raise PermissionError(13, "Permission denied", path)
    monkeypatch.setattr(os, "listdir", no_entry)
    with pytest.raises(DatasetError, match="Permission denied"):
        load_folder(folder)


def test_very_deep_folders(tmp_path):
    write_image(tmp_path / "a" / "1.png")
    write_image(tmp_path / "b" / "/".join("d" * 1) / "2.png")
    deep = tmp_path / "b"
    for _ in range(200):
        deep = deep / "d"
    write_image(deep / "3.png")
    assert load_folder(tmp_path).counts() == {"a": 1, "b": 2}


def test_names_that_are_not_ascii(tmp_path):
    write_image(tmp_path / "кошки" / "снимок.png")
    write_image(tmp_path / "犬" / "写真.png")
    images = load_folder(tmp_path)
    assert images.classes == ["кошки", "犬"]
    assert "кошки" in images._repr_html_()


def test_errors_about_the_folder(tmp_path):
    with pytest.raises(DatasetError, match="no folder.*nowhere"):
        load_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="is a file"):
        load_folder(tmp_path / "file")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="no sub-folders"):
        load_folder(empty)
    (empty / "a").mkdir()
    with pytest.raises(DatasetError, match="no readable images.*no images"):
        load_folder(empty)
    write_image(empty / "a" / "1.png")
    with pytest.raises(DatasetError, match="only one class.*'a'"):
        load_folder(empty)
    (empty / "b").mkdir()
    (empty / "b" / "text.jpg").write_text("x")
    with pytest.raises(DatasetError, match="only one class.*text.jpg"):
        load_folder(empty)


def test_images_without_class_folders(tmp_path):
    write_image(tmp_path / "1.png")
    with pytest.raises(DatasetError, match="lie directly in.*1.png.*sub-folder"):
        load_folder(tmp_path)


def test_subset(folder):
    images = load_folder(folder)
    part = images.subset([2, 0])
    assert part.paths == [images.paths[2], images.paths[0]]
    assert part.labels.tolist() == ["boots", "axes"]
    assert len(images.subset(np.array([True, False, False]))) == 1
    assert len(images.subset(slice(1, None))) == 2
    assert images.subset([1]).classes == ["boots"]
    assert len(images.subset([])) == 0
    with pytest.raises(IndexError):
        images.subset([3])


def test_image_set_checks_its_lengths():
    with pytest.raises(DatasetError, match="2 paths but 1 labels"):
        ImageSet(["a", "b"], ["x"])


def test_html_is_escaped():
    images = ImageSet(["a"], ["<b>&"], [("<i>\udcff", "x < y")] * 30)
    text = images._repr_html_()
    assert "&lt;b&gt;&amp;" in text and "x &lt; y" in text and "and 10 more" in text
    assert "<b>" not in text and "<i>" not in text
    text.encode("utf-8")


def test_load_images(folder, tmp_path):
    new = tmp_path / "new"
    write_image(new / "2.png")
    write_image(new / "1.png")
    write_image(new / "deeper" / "3.png")
    (new / "text.jpg").write_text("x")
    images = load_images(new)
    assert images.paths == [str(new / "1.png"), str(new / "2.png")] == list(images)
    assert list(reasons(images)) == ["text.jpg"]
    assert "2 images" in repr(images)
    with pytest.raises(ImageError, match="text.jpg"):
        load_images(new, strict=True)
    with pytest.raises(DatasetError, match="sub-folders.*load_folder"):
        load_images(folder)
    with pytest.raises(DatasetError, match="no folder"):
        load_images(tmp_path / "none")


def test_gear(shared):
    images = load_folder(os.path.join(shared, "gear", "images"), strict=True)
    assert len(images) == 1694 and len(images.classes) == 12
    assert len(load_images(os.path.join(shared, "gear", "new_images"))) == 5
