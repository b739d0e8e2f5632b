"""What stands where a file is to be written: links are followed, modes kept, devices refused."""
import os
import socket
import stat

import numpy as np
import pytest

from gear_transfer import (Backbone, ModelFileError, TransferClassifier, WeightsError, convert,
                           cross_validate, load_folder, load_model, make_shapes, report)
from gear_transfer.cli import main
from gear_transfer.common.atomic import write_whole
from gear_transfer.importers.weights import packaged_path


def put(path, content=b"new"):
    write_whole(path, lambda stream: stream.write(content))


def mode(path):
    return stat.S_IMODE(os.stat(str(path)).st_mode)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_folder(make_shapes(tmp_path_factory.mktemp("writing") / "shapes", per_class=6,
                                   size=64, random_state=0))


@pytest.fixture(scope="module")
def model(images):
    return TransferClassifier(layer="mixed0", input_size=75, epochs=3, cache=False).fit(images)


# The one function of all writers

def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "v1").write_bytes(b"old")
    (tmp_path / "further").symlink_to("v1")
    (tmp_path / "current").symlink_to(tmp_path / "further")
    put(tmp_path / "current")
    assert (tmp_path / "current").is_symlink() and (tmp_path / "further").is_symlink()
    assert (tmp_path / "v1").read_bytes() == b"new"
    assert sorted(os.listdir(str(tmp_path))) == ["current", "further", "v1"]


def test_a_link_into_another_folder(tmp_path):
    """The temporary file lies beside the target: a link may lead to another disk."""
    (tmp_path / "store").mkdir()
    (tmp_path / "current").symlink_to(os.path.join("store", "new_one"))
    put(tmp_path / "current")
    assert (tmp_path / "current").is_symlink()
    assert (tmp_path / "store" / "new_one").read_bytes() == b"new"


def test_a_link_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError):
        put(tmp_path / "a")
    assert (tmp_path / "a").is_symlink() and (tmp_path / "b").is_symlink()


@pytest.mark.parametrize("bits", [0o664, 0o600, 0o640, 0o755])
def test_the_mode_is_kept(tmp_path, bits):
    (tmp_path / "a").write_bytes(b"old")
    os.chmod(str(tmp_path / "a"), bits)
    put(tmp_path / "a")
    assert mode(tmp_path / "a") == bits and (tmp_path / "a").read_bytes() == b"new"


def test_a_new_file_has_the_usual_mode(tmp_path):
    put(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    assert mode(tmp_path / "a") == mode(tmp_path / "b")


def test_owner_and_group_are_kept_where_allowed(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    before = os.stat(str(tmp_path / "a"))
    asked = []

    def refuse(descriptor, owner, group):
        asked.append((owner, group))
        if owner != -1:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    put(tmp_path / "a")
    assert asked == [(before.st_uid, before.st_gid), (-1, before.st_gid)]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_names_as_long_as_the_system_allows(tmp_path):
    name = "x" * 251 + ".gtm"
    put(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"new"


def test_a_protected_file_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    os.chmod(str(tmp_path / "a"), 0o444)
    monkeypatch.setattr(os, "access", lambda path, how: False)  # root may write to any
    with pytest.raises(PermissionError, match="protected"):
        put(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"


def place(tmp_path, kind):
    path = str(tmp_path / kind)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.close()
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "device":
        os.symlink(os.devnull, path)  # making one needs root; nothing is written to it here
    else:
        os.symlink("/proc/self/fd/{}".format(kind), path)
    return path


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = place(tmp_path, kind)
    before = os.stat(path)
    with pytest.raises(OSError, match="a " + kind):
        put(path)
    after = os.stat(path)
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)
    assert os.listdir(str(tmp_path)) == [kind]


def test_an_open_file_without_a_name_is_refused(tmp_path):
    """Such as /dev/stdout where it is a pipe, or a file that has been removed."""
    with open(str(tmp_path / "gone"), "wb") as stream:
        os.remove(str(tmp_path / "gone"))
        path = place(tmp_path, str(stream.fileno()))
        with pytest.raises(OSError, match="without a name"):
            put(path)
        assert os.listdir(str(tmp_path)) == [os.path.basename(path)]


# All that write

@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_every_writer_refuses_what_is_no_file(model, images, tmp_path, kind, capsys):
    path = place(tmp_path, kind)
    with pytest.raises(ModelFileError, match="a " + kind):
        model.save(path)
    with pytest.raises(WeightsError, match="a " + kind):
        convert(packaged_path("inception_v3"), path)
    with pytest.raises(OSError, match="a " + kind):
        report(model, images, path)
    features = np.random.RandomState(0).randn(40, 3)
    with pytest.raises(OSError, match="a " + kind):
        cross_validate(features, np.repeat([0, 1], 20), folds=2).to_json(path)
    folder = os.path.dirname(os.path.dirname(images.paths[0]))
    model.save(tmp_path / "model.gtm")
    for words in (["train", folder, path], ["report", tmp_path / "model.gtm", folder, path],
                  ["convert", packaged_path("inception_v3"), path]):
        assert main([str(word) for word in words]) == 1
        assert "it is a " + kind in capsys.readouterr().err
    assert not stat.S_ISREG(os.stat(path).st_mode)


def test_a_model_is_saved_through_a_link(model, images, tmp_path):
    model.save(tmp_path / "v1.gtm")
    os.chmod(str(tmp_path / "v1.gtm"), 0o664)
    (tmp_path / "current.gtm").symlink_to("v1.gtm")
    before = os.stat(str(tmp_path / "v1.gtm")).st_ino
    model.save(tmp_path / "current.gtm")
    assert (tmp_path / "current.gtm").is_symlink() and mode(tmp_path / "v1.gtm") == 0o664
    assert os.stat(str(tmp_path / "v1.gtm")).st_ino != before
    assert load_model(tmp_path / "current.gtm").score(images) == model.score(images)


# Names that promise another kind of file

@pytest.mark.parametrize("ending", [".onnx", ".h5", ".ONNX", ".keras", ".jpg", ".pkl"])
def test_no_native_file_under_the_name_of_another_format(model, images, tmp_path, ending, capsys):
    path = tmp_path / ("model" + ending)
    with pytest.raises(ModelFileError, match="ending"):
        model.save(path)
    with pytest.raises(WeightsError, match=r"\*\.gtm or \*\.gtw"):
        convert(packaged_path("inception_v3"), path)
    folder = os.path.dirname(os.path.dirname(images.paths[0]))
    for words in (["convert", packaged_path("inception_v3"), path], ["train", folder, path]):
        assert main([str(word) for word in words]) == 1
        assert "own format" in capsys.readouterr().err
    assert not path.exists()


def test_other_names_are_free(model, tmp_path):
    for name in ("model.gtm", "model", "model.v2", "model.gtm.bak", "model.safetensors"):
        model.save(tmp_path / name)
        Backbone.load(tmp_path / name, layer="mixed0")


def test_no_page_under_the_name_of_another_format(model, images, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"a page of HTML, not what the ending \.pdf says"):
        report(model, images, tmp_path / "page.pdf")
    assert not (tmp_path / "page.pdf").exists()
