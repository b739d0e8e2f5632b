"""Predictions that come at once: from standard input, of a folder that is still being listed, and top-k."""
import base64
import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import gear_transfer as gt
from conftest import HOME
from gear_transfer import cli
from gear_transfer.cli import predict
from gear_transfer.photographs import folder_search


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return gt.load_folder(gt.make_shapes(tmp_path_factory.mktemp("streams") / "shapes", per_class=8,
                                         size=64, random_state=2))


@pytest.fixture(scope="module")
def fitted(images):
    return gt.TransferClassifier(backbone="inception_v3", layer="mixed1", input_size=64, epochs=12,
                                 cache=False, verbose=0).fit(images)


@pytest.fixture(scope="module")
def model(fitted, images):
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(images.paths[0]))), "m.gtm")
    fitted.save(path)
    return path


@pytest.fixture
def feed(monkeypatch, tmp_path):
    """A function that makes bytes the standard input of this process."""
    def give(content):
        path = str(tmp_path / "input")
        with open(path, "wb") as stream:
            stream.write(content)
        monkeypatch.setattr(sys, "stdin", open(path))
    yield give
    if sys.stdin.name != "<stdin>":
        sys.stdin.close()


def run(capsys, *arguments):
    code = cli.main([str(each) for each in arguments])
    return (code,) + tuple(capsys.readouterr())


# The most probable classes

def test_top_k(fitted, images, tmp_path):
    paths = images.paths[:3]
    probabilities = fitted.predict_proba(paths)
    found = fitted.predict_top_k(paths, k=2)
    assert [[each.label for each in row] for row in found] == [
        fitted.classes_[row].tolist() for row in np.argsort(-probabilities)[:, :2]]
    assert [row[0].label for row in found] == fitted.predict(paths).tolist()
    assert [row[1].probability for row in found] == [
        float(sorted(row)[-2]) for row in probabilities]
    assert len(fitted.predict_top_k(paths, k=9)[0]) == len(fitted.predict_top_k(paths)[0]) == 3
    with pytest.warns(gt.SkippedImageWarning):
        assert fitted.predict_top_k([str(tmp_path / "none.jpg"), paths[0]], k=1) == [[], found[0][:1]]
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match="k must be a whole number"):
            fitted.predict_top_k(paths, k=wrong)


def test_top_k_on_the_command_line(fitted, model, images, capsys):
    path = images.paths[0]
    best, second = fitted.predict_top_k([path], k=2)[0]
    row = next(csv.DictReader(run(capsys, "predict", model, path, "--top-k", 2)[1].splitlines()))
    assert (row["predicted"], row["predicted:2"]) == (best.label, second.label)
    assert float(row["probability:2"]) == pytest.approx(second.probability, abs=1e-6)
    found = json.loads(run(capsys, "predict", model, path, "no.jpg", "--top-k", 9, "--json")[1])
    assert [each["class"] for each in found[0]["top"]][:2] == [best.label, second.label]
    assert len(found[0]["top"]) == 3 and found[1]["top"] == []
    header = run(capsys, "predict", model, path, "--top-k", 9)[1].splitlines()[0]
    assert header == "path,predicted,probability,predicted:2,probability:2,predicted:3,probability:3,error"


# Standard input

def test_paths_from_standard_input(fitted, model, images, feed, capsys):
    feed("\n".join([images.paths[0], "", "none.jpg", images.paths[-1]]).encode())
    code, output, errors = run(capsys, "predict", model, "-", "--json-lines", "--no-cache")
    rows = [json.loads(line) for line in output.splitlines()]
    assert code == 3 and "none.jpg" in errors
    assert [row["path"] for row in rows] == [images.paths[0], "none.jpg", images.paths[-1]]
    assert [row["predicted"] for row in rows[::2]] == fitted.predict(images.paths[::23]).tolist()
    assert rows[1]["predicted"] is None and rows[1]["error"] == "there is no such file"


def test_images_from_standard_input(fitted, model, images, feed, capsys):
    lines = [base64.b64encode(pathlib.Path(path).read_bytes()) for path in (images.paths[0], images.paths[-1])]
    feed(lines[0] + b"\r\nno base64!\n" + base64.b64encode(b"no picture") + b"\n" + lines[1] + b"\n")
    code, output, _ = run(capsys, "predict", model, "-", "--base64", "--json-lines")
    rows = [json.loads(line) for line in output.splitlines()]
    assert code == 3 and [row["path"] for row in rows] == ["-:1", "-:2", "-:3", "-:4"]
    assert [rows[i]["predicted"] for i in (0, 3)] == fitted.predict(images.paths[::23]).tolist()
    assert "not base64" in rows[1]["error"] and "not a JPEG" in rows[2]["error"]


def test_base64_needs_standard_input(model, images, capsys):
    code, output, errors = run(capsys, "predict", model, images.paths[0], "--base64")
    assert (code, output) == (1, "") and "'-'" in errors


@pytest.mark.slow
def test_each_line_is_answered_before_the_next(model, images):
    process = subprocess.Popen(
        [sys.executable, "-m", "gear_transfer", "predict", model, "-", "--json-lines"], cwd=HOME,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for path in images.paths[:3]:
        process.stdin.write(path.encode() + b"\n")
        process.stdin.flush()
        # Would wait for ever if the answer came with a later one.
        assert json.loads(process.stdout.readline().decode())["path"] == path
    process.stdin.close()
    assert process.stdout.read() == b"" and process.wait() == 0
    process.stdout.close()


# Folders

def test_the_first_row_comes_before_the_folder_is_listed(model, images, monkeypatch, capsys):
    """The rows come while the headers of later files have not been read yet."""
    looked_at, written = [], []
    open_image, write = folder_search.open_image, cli.output.write

    def note_file(path):
        looked_at.append(path)
        return open_image(path)

    def note_row(text):
        written.append((len(looked_at), text))
        write(text)

    monkeypatch.setattr(folder_search, "open_image", note_file)
    monkeypatch.setattr(cli.output, "write", note_row)
    folder = os.path.dirname(os.path.dirname(images.paths[0]))
    assert run(capsys, "predict", model, folder, "--no-cache")[0] == 0
    assert len(looked_at) == 24
    assert written[0][0] == predict._FIRST and images.paths[0] in written[0][1]


def test_found_in_the_order_of_sorted_paths(tmp_path):
    picture = gt.make_shapes(str(tmp_path / ".shapes"), per_class=1) + "/circle/circle001.jpg"
    for name in ("b/x.png", "a.png", "b0.png", "b/a/z.png", "a/y.png", "b-c/y.png"):
        path = str(tmp_path / name)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        with open(path, "wb") as stream:
            stream.write(b"no picture" if name == "b0.png" else pathlib.Path(picture).read_bytes())
    found = gt.load_images(tmp_path, recursive=True)
    assert found.paths == sorted(found.paths, key=lambda path: path.split(os.sep)) and len(found) == 5
    assert [os.path.basename(each.path) for each in found.skipped] == ["b0.png"]
