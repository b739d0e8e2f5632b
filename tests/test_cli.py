"""The command line: what goes to standard output, what to standard error, and the exit codes."""
import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import pathlib
import pty
import shutil
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest
from PIL import Image

import gear_transfer as gt
from conftest import HOME
from gear_transfer import cli, load_folder, load_images
from gear_transfer.cli import predict
from gear_transfer.importers.native import read_network, write_network

pytestmark = pytest.mark.every_python

QUICK = ["--layer", "mixed2", "--input-size", "64", "--epochs", "12", "--no-cache"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gt.make_shapes(tmp_path_factory.mktemp("cli") / "shapes", per_class=10, size=64,
                          random_state=1)


@pytest.fixture(scope="module")
def model(folder):
    path = os.path.join(os.path.dirname(folder), "shapes.gtm")
    assert cli.main(["train", folder, path, "--quiet"] + QUICK) == 0
    return path


def run(capsys, *arguments):
    """Exit code, output and errors of a command."""
    code = cli.main([str(each) for each in arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def columns(text):
    """The first line of a table; the rows of DictReader have no order before Python 3.6."""
    return next(csv.reader(io.StringIO(text)))


def start(*arguments):
    return subprocess.Popen([sys.executable, "-m", "gear_transfer"] + [str(a) for a in arguments],
                            cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# Help

@pytest.mark.parametrize("command", ["train", "tune", "predict", "evaluate", "report", "check",
                                     "convert", "download"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert "example" in output and "  gear-transfer " + command in output


def test_exit_codes_are_documented(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    output = capsys.readouterr().out
    assert all("\n  {} ".format(code) in output for code in (0, 1, 2, 3, 4, 130))


@pytest.mark.parametrize("arguments, part", [
    (["train", "a"], "MODEL"), (["train", "a", "b", "--epochs", "0"], "must be 1 or more"),
    (["train", "a", "b", "--input-size", "1x2x3"], "192x160"),
    (["train", "a", "b", "--pooling", "mean"], "invalid choice"), (["predict", "a"], "IMAGE"),
    (["predict", "a", "b", "--csv", "--json"], "not allowed with"),
    (["evaluate", "a", "b", "--target", "90"], "from 0 to 1"), (["learn"], "invalid choice")])
def test_wrong_usage(arguments, part, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    output, errors = capsys.readouterr()
    assert output == "" and part in errors


# Train

def test_train(folder, model, tmp_path, capsys):
    path = tmp_path / "again.gtm"
    code, output, errors = run(capsys, "train", folder, path, "--threads", 1, *QUICK)
    assert code == 0 and errors == ""
    assert "trained on   30 photographs (3 of them held back until the epochs were" in output
    assert "circle, square" in output
    assert gt.load_model(str(path)).score(load_folder(folder)) > 0.9
    code, output, errors = run(capsys, "train", folder, path, "--augment", 2, "--quiet", *QUICK)
    assert code == 0 and "the epochs were chosen) and 2 views of each, 12 epochs" in output
    assert gt.load_model(path).augment.views == 2
    code, output, errors = run(capsys, "train", folder, path, "--json", "--hidden-layers", "8,4",
                               "--seed", 3, "--layer", "mixed0,mixed1", "--input-size", "64x80",
                               "--no-cache", "--class-weight", "balanced", "--epochs", 40)
    found = json.loads(output)
    assert (code, errors) == (0, "")
    assert found["classes"] == ["circle", "square", "triangle"] and found["images"] == 30
    assert found["trained_on"] == 30
    assert found["layer"] == ["mixed0", "mixed1"] and found["input_size"] == [64, 80]
    assert len(found["history"]["loss"]) == 40 and found["test_accuracy"] is None
    loaded = gt.load_model(str(path))
    assert loaded.hidden_layers == (8, 4) and loaded.random_state == 3


@pytest.mark.slow
def test_train_on_a_split_folder(folder, tmp_path, capsys):
    for part, numbers in (("train", range(1, 8)), ("val", [8]), ("test", [9, 10])):
        for name in ("circle", "square", "triangle"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in numbers:
                file = "{}{:03d}.jpg".format(name, number)
                os.link(os.path.join(folder, name, file), str(tmp_path / part / name / file))
    (tmp_path / "notes.txt").write_text("x")
    target = tmp_path / "model.gtm"
    code, output, errors = run(capsys, "train", tmp_path, target, "--json", *QUICK)
    found = json.loads(output)
    assert code == 0 and found["images"] == 21
    assert "notes.txt" in errors and found["skipped"][0]["path"].endswith("notes.txt")
    assert found["test_accuracy"] == gt.load_model(str(target)).score(load_folder(tmp_path).test)
    code, output, errors = run(capsys, "train", tmp_path, target, "--quiet", *QUICK)
    assert (code, errors) == (0, "") and "on 6 photographs" in output.splitlines()[-1]


@pytest.mark.parametrize("arguments, part", [
    (["missing", "x.gtm"], "missing"), (["{folder}", "no/where/x.gtm"], "no folder"),
    (["{folder}", "."], "it is a folder"), (["{folder}", "x.gtm", "--layer", "blok1"], "block1"),
    (["{folder}", "x.gtm", "--dropout", "2"], "dropout"),
    (["{folder}", "x.gtm", "--precision", "float8"], "float8")])
def test_train_errors(folder, tmp_path, monkeypatch, arguments, part, capsys):
    monkeypatch.chdir(str(tmp_path))
    code, output, errors = run(capsys, "train", *[each.format(folder=folder) for each in arguments])
    assert (code, output) == (1, "") and part in errors and errors.count("\n") == 1
    assert errors.startswith("gear-transfer: ") and os.listdir(str(tmp_path)) == []


@pytest.mark.slow
def test_a_bad_photograph(folder, tmp_path, capsys):
    for name in ("circle", "square", "triangle"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for file in os.listdir(os.path.join(folder, name)):
            os.link(os.path.join(folder, name, file), str(tmp_path / "in" / name / file))
    with open(os.path.join(folder, "circle", "circle001.jpg"), "rb") as whole:
        (tmp_path / "in" / "circle" / "cut.jpg").write_bytes(whole.read()[:900])
    target = tmp_path / "model.gtm"
    code, output, errors = run(capsys, "train", tmp_path / "in", target, *QUICK)
    assert code == 0 and "30 photographs" in output
    assert errors.startswith("gear-transfer: warning: 1 of the images") and "cut.jpg" in errors
    assert run(capsys, "train", tmp_path / "in", target, "--quiet", *QUICK)[2] == ""
    code, output, errors = run(capsys, "train", tmp_path / "in", target, "--strict", *QUICK)
    assert (code, output) == (1, "") and "cut.jpg" in errors


# Predict

def test_predict_csv(folder, model, capsys):
    code, output, errors = run(capsys, "predict", model, folder, "--no-cache")
    assert (code, errors) == (0, "")
    rows = table(output)
    paths = load_images(folder, recursive=True).paths
    assert [row["path"] for row in rows] == paths and "\r" not in output
    classifier = gt.load_model(model)
    assert [row["predicted"] for row in rows] == classifier.predict(paths).tolist()
    best = classifier.predict_proba(paths).max(axis=1)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], best, atol=1e-6)
    assert all(row["error"] == "" for row in rows)
    assert run(capsys, "predict", model, folder, "--csv", "--no-cache")[1] == output


def test_predict_probabilities(folder, model, capsys):
    path = load_folder(folder).paths[0]
    expected = gt.load_model(model).predict_proba([path])[0]
    code, output, _ = run(capsys, "predict", model, path, "--probabilities")
    row = table(output)[0]
    assert code == 0 and columns(output) == [
        "path", "predicted", "probability", "probability:circle", "probability:square",
        "probability:triangle", "error"]
    np.testing.assert_allclose([float(row["probability:" + name])
                                for name in ("circle", "square", "triangle")], expected, atol=1e-6)
    found = json.loads(run(capsys, "predict", model, path, path, "--probabilities", "--json")[1])
    assert len(found) == 2 and sorted(found[0]["probabilities"]) == [
        "circle", "square", "triangle"]
    assert found[0]["probability"] == max(found[0]["probabilities"].values())
    assert found[0]["error"] is None


def test_predict_unknown(folder, model, tmp_path, capsys):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(str(tmp_path / "noise.png"))
    (tmp_path / "text.jpg").write_text("I am text")
    usual = load_folder(folder).paths[0]
    code, output, _ = run(capsys, "predict", model, usual, tmp_path, "--unknown")
    rows = table(output)
    assert code == 3 and columns(output) == ["path", "predicted", "probability", "known", "error"]
    assert [row["predicted"] for row in rows] == ["circle", "none of these", ""]
    assert float(rows[0]["known"]) > 0.05 > float(rows[1]["known"]) and rows[2]["known"] == ""
    expected = gt.load_model(model).known_score([usual])[0]
    assert float(rows[0]["known"]) == pytest.approx(expected, abs=1e-6)
    found = json.loads(run(capsys, "predict", model, tmp_path, "--json", "--probabilities",
                           "--unknown", "no shape")[1])
    assert [row["predicted"] for row in found] == ["no shape", None]
    assert len(found[0]["probabilities"]) == 3 and found[1]["probabilities"] is None


def test_predict_in_chunks(folder, model, capsys, monkeypatch):
    whole = run(capsys, "predict", model, folder)
    monkeypatch.setattr(predict, "_AT_ONCE", 7)
    assert [row["predicted"] for row in table(run(capsys, "predict", model, folder)[1])] == [
        row["predicted"] for row in table(whole[1])]


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_files_that_cannot_be_read(folder, model, tmp_path, form, capsys):
    (tmp_path / "text.jpg").write_text("I am text")
    Image.new("RGB", (30, 30), "red").save(str(tmp_path / "red.png"))
    good = load_folder(folder).paths[0]
    code, output, errors = run(capsys, "predict", model, tmp_path / "none.jpg", good, tmp_path,
                               form)
    assert code == 3 and "none.jpg" in errors
    rows = table(output) if form == "--csv" else json.loads(output)
    empty = "" if form == "--csv" else None
    assert [os.path.basename(row["path"]) for row in rows] == [
        "none.jpg", os.path.basename(good), "red.png", "text.jpg"]
    assert [row["predicted"] == empty for row in rows] == [True, False, False, True]
    assert rows[0]["error"] == "there is no such file" and "not a JPEG" in rows[3]["error"]
    assert rows[1]["error"] == empty and rows[0]["probability"] == empty


def test_names_that_are_not_utf_8(model, folder, tmp_path, capsysbinary):
    name = os.path.join(os.fsencode(str(tmp_path)), b"caf\xe9.jpg")
    with open(load_folder(folder).paths[0], "rb") as source, open(name, "wb") as target:
        target.write(source.read())
    assert cli.main(["predict", model, str(tmp_path)]) == 0
    output, errors = capsysbinary.readouterr()
    assert b"caf\xe9.jpg" in output and errors == b""
    assert cli.main(["predict", model, str(tmp_path), "--json"]) == 0
    found = json.loads(capsysbinary.readouterr().out.decode("utf-8"))
    assert os.fsencode(found[0]["path"]) == name


@pytest.mark.parametrize("arguments, part", [
    (["none.gtm", "x.jpg"], "none.gtm"), (["{folder}/circle/circle001.jpg", "x.jpg"], "not a"),
    (["{model}", "{empty}"], "no readable images")])
def test_predict_errors(folder, model, tmp_path, arguments, part, capsys):
    given = [each.format(folder=folder, model=model, empty=tmp_path) for each in arguments]
    code, output, errors = run(capsys, "predict", *given)
    assert (code, output) == (1, "") and part in errors and errors.count("\n") == 1


# Tune

@pytest.mark.slow
def test_tune(folder, tmp_path, capsys):
    options = ["--layers", "mixed0,mixed2", "--sizes", "75,80x84", "--l2", "0.001,0.01", "--folds",
               "3", "--cache", tmp_path / "cache", "--seed", "1", "--threads", "1"]
    code, output, errors = run(capsys, "tune", folder, "--csv", *options)
    rows = table(output)
    assert (code, errors) == (0, "") and len(rows) == 8
    assert {(row["layer"], row["input_size"]) for row in rows} == {
        (layer, size) for layer in ("mixed0", "mixed2") for size in ("75", "80x84")}
    assert {row["l2"] for row in rows} == {"0.001", "0.01"} and rows[0]["photographs"] == "30"
    accuracies = [float(row["accuracy"]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    code, output, errors = run(capsys, "tune", folder, *options)
    assert (code, errors) == (0, "") and output.startswith("Take mixed")
    code, output, errors = run(capsys, "tune", folder, "--json", *options)
    assert json.loads(output)["best"]["layer"] in ("mixed0", "mixed2")
    code, output, errors = run(capsys, "tune", folder, "--layers", "mixd0")
    assert (code, output) == (1, "") and "mixd0" in errors


@pytest.mark.slow
def test_train_tunes(folder, tmp_path, capsys):
    target = tmp_path / "tuned.gtm"
    options = ["--layer", "mixed0,mixed1", "--input-size", "75", "--epochs", "12", "--cache",
               tmp_path / "cache", "--threads", "1"]
    code, output, errors = run(capsys, "train", folder, target, "--tune", "accurate", "--json",
                               *options)
    found = json.loads(output)
    assert (code, errors) == (0, "") and found["layer"] == found["tuning"]["accurate"]["layer"]
    loaded = gt.load_model(str(target))
    assert loaded.l2 == found["tuning"]["accurate"]["l2"] and loaded.epochs == 12
    assert len(found["tuning"]["trials"]) == 8 and loaded.input_size == (75, 75)
    code, output, errors = run(capsys, "train", folder, target, "--tune", "--l2", "0.1", *options)
    assert code == 0 and "tuned        Take mixed" in output and "l2=0.1" in output
    assert gt.load_model(str(target)).l2 == 0.1


# Evaluate

@pytest.fixture(scope="module")
def confused(folder, tmp_path_factory):
    """The shapes with 4 of the 10 circles filed as squares."""
    root = tmp_path_factory.mktemp("confused")
    for name in ("circle", "square", "triangle"):
        for file in os.listdir(os.path.join(folder, name)):
            home = "square" if file in ("circle{:03d}.jpg".format(i) for i in range(1, 5)) else name
            os.makedirs(str(root / home), exist_ok=True)
            os.link(os.path.join(folder, name, file), str(root / home / file))
    return root


@pytest.fixture(scope="module")
def earlier(model):
    """The model as an earlier release saved it, which kept no hashes of its photographs."""
    network = read_network(model)
    for name in [name for name in network.extra_arrays if name.startswith("training/")]:
        del network.extra_arrays[name]
    path = model.replace("shapes.gtm", "earlier.gtm")
    write_network(path, network)
    return path


def test_evaluate(confused, model, capsys):
    images = load_folder(confused)
    predicted = gt.load_model(model).predict(images.paths)
    accuracy = (predicted == images.labels).mean()
    assert 0.7 < accuracy < 0.9
    code, output, errors = run(capsys, "evaluate", model, confused, "--json")
    found = json.loads(output)
    assert code == 0 and found["images"] == 30 and found["unreadable"] == []
    assert "30 of these 30 photographs, or near-duplicates of them, were in the training" in errors
    assert found["seen_in_training"] == 30 and found["accuracy_on_new"] is None
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["interval"][0] < accuracy < found["interval"][1]
    matrix = np.array(found["confusion"])
    assert matrix.sum() == 30 and np.trace(matrix) == round(30 * accuracy) and matrix[1, 0] == 4
    assert [row["class"] for row in found["classes"]] == ["circle", "square", "triangle"]
    assert [row["images"] for row in found["classes"]] == [6, 14, 10]
    assert found["classes"][1]["recall"] == pytest.approx(matrix[1, 1] / 14)
    assert found["classes"][0]["precision"] == pytest.approx(matrix[0, 0] / matrix[:, 0].sum())
    code, output, _ = run(capsys, "evaluate", model, confused)
    assert code == 0 and "4 of square taken for circle" in output
    assert "accuracy {:.3f} on 30 photographs".format(accuracy) in output
    code, output, _ = run(capsys, "evaluate", model, confused, "--csv")
    assert code == 0 and [row["images"] for row in table(output)] == ["6", "14", "10"]


@pytest.mark.parametrize("target, verdict, code", [
    ("0.5", "met", 0), ("0.8", "not proven", 4), ("0.99", "not met", 4)])
def test_evaluate_against_a_target(confused, earlier, target, verdict, code, capsys):
    found = run(capsys, "evaluate", earlier, confused, "--target", target)
    assert found[0] == code and "target {}: {}".format(float(target), verdict) in found[1]
    assert "is not known" in found[2]
    found = run(capsys, "evaluate", earlier, confused, "--target", target, "--json")
    assert found[0] == code and json.loads(found[1])["verdict"] == verdict
    assert json.loads(found[1])["seen_in_training"] is None


def test_no_target_is_met_on_photographs_of_the_training(folder, model, capsys):
    code, output, _ = run(capsys, "evaluate", model, folder, "--target", "0.5")
    assert code == 4 and "accuracy 1.000" in output and "target 0.5: not proven" in output


def test_evaluate_on_some_photographs_of_the_training(folder, model, tmp_path, capsys):
    """Noise is new to it, and rarely right."""
    random = np.random.RandomState(0)
    for number, name in enumerate(("circle", "square", "triangle")):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(random.randint(0, 256, (64, 64, 3)).astype(np.uint8)).save(
                str(tmp_path / name / "new{}.png".format(i)))
        file = "{}001.jpg".format(name)
        shutil.copyfile(os.path.join(folder, name, file), str(tmp_path / name / "again.jpg"))
    code, output, errors = run(capsys, "evaluate", model, tmp_path, "--json", "--target", "0.9")
    found = json.loads(output)
    assert "3 of these 12 photographs" in errors and "looks better" in errors and code == 4
    assert found["seen_in_training"] == 3 and found["verdict"] == "not met"
    assert found["accuracy_on_new"] == pytest.approx((found["accuracy"] * 12 - 3) / 9)
    assert "on the 9 that are new" in run(capsys, "evaluate", model, tmp_path)[1]


def test_evaluate_parts(folder, model, tmp_path, capsys):
    for part, numbers in (("train", range(1, 6)), ("val", [8]), ("test", [9, 10])):
        for name in ("circle", "square", "triangle"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in numbers:
                file = "{}{:03d}.jpg".format(name, number)
                os.link(os.path.join(folder, name, file), str(tmp_path / part / name / file))
    for options, n in [([], 6), (["--part", "validation"], 3), (["--part", "train"], 15)]:
        found = json.loads(run(capsys, "evaluate", model, tmp_path, "--json", *options)[1])
        assert found["images"] == n
    code, output, errors = run(capsys, "evaluate", model, folder, "--part", "test")
    assert (code, output) == (1, "") and "no folder of test images" in errors


def test_evaluate_what_cannot_be_read(confused, model, tmp_path, capsys):
    image = io.BytesIO()
    Image.effect_noise((90, 90), 90).save(image, "JPEG")
    for name in ("circle", "square"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cut.jpg").write_bytes(image.getvalue()[:1500])
    code, output, errors = run(capsys, "evaluate", model, tmp_path)
    assert (code, output) == (1, "") and "none of the 2 images" in errors
    (tmp_path / "square" / "whole.jpg").write_bytes(image.getvalue())
    code, output, errors = run(capsys, "evaluate", model, tmp_path, "--json")
    assert code == 3 and "cut.jpg" in errors
    assert len(json.loads(output)["unreadable"]) == 2 and json.loads(output)["images"] == 1


def test_evaluate_an_unknown_class(folder, model, tmp_path, capsys):
    for name in ("circle", "hexagon"):
        (tmp_path / name).mkdir()
        os.link(os.path.join(folder, "circle", "circle001.jpg"), str(tmp_path / name / "1.jpg"))
    code, output, errors = run(capsys, "evaluate", model, tmp_path)
    assert (code, output) == (1, "") and "class 'hexagon'" in errors and "triangle" in errors


# Report

@pytest.mark.slow
def test_report(confused, model, tmp_path, capsys):
    page = tmp_path / "page.html"
    code, output, errors = run(capsys, "report", model, confused, page, "--title", "Shapes & more")
    assert (code, output, errors) == (0, "{}\n".format(page), "")
    text = page.read_text(encoding="utf-8")
    assert "<title>Shapes &amp; more</title>" in text and "triangle" in text
    code, output, errors = run(capsys, "report", model, confused, tmp_path / "none" / "page.html")
    assert (code, output) == (1, "") and "there is no folder" in errors
    code, output, errors = run(capsys, "report", model, tmp_path, tmp_path / "page.html")
    assert (code, output) == (1, "") and errors.count("\n") == 1


def check_file(facts, path):
    content = path.read_bytes()
    assert (facts["path"], facts["bytes"]) == (str(path), len(content))
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_report_as_json(confused, model, tmp_path, capsys):
    page = tmp_path / "page.html"
    code, output, errors = run(capsys, "report", model, confused, page, "--json")
    found = json.loads(output)
    assert (code, errors) == (0, "")
    check_file(found, page)
    check_file(found["model"], pathlib.Path(model))
    loaded = gt.load_model(model)
    assert found["fingerprint"] == loaded.extractor_.backbone_.fingerprint()
    samples = gt.compute_features(load_folder(confused), loaded)
    result = gt.cross_validate(samples, estimator=loaded)
    assert found["accuracy"] == result.accuracy and found["images"] == 30
    assert found["interval"][0] < found["accuracy"] < found["interval"][1]
    assert (found["target"], found["verdict"]) == (0.9, result.verdict(0.9))
    assert found["classes"] == ["circle", "square", "triangle"] and found["skipped"] == []
    assert found["suspects"] == len(result.suspects())
    assert found["groups_of_duplicates"] == len(gt.find_duplicates(load_folder(confused)))
    assert "{:.1f} %".format(100 * result.accuracy) in page.read_text(encoding="utf-8")


def test_no_report_on_a_few_photographs_of_the_training(folder, model, tmp_path, capsys):
    for part, number in (("train", 3), ("test", 4)):
        for name in ("circle", "square"):
            (tmp_path / part / name).mkdir(parents=True)
            file = "{}{:03d}.jpg".format(name, number)
            os.link(os.path.join(folder, name, file), str(tmp_path / part / name / file))
    code, _, errors = run(capsys, "report", model, tmp_path, tmp_path / "page.html")
    assert code == 1 and "2 of the 2 photographs, or near-duplicates of them, were in" in errors


@pytest.mark.slow
def test_report_against_a_target_and_of_what_cannot_be_read(folder, earlier, tmp_path, capsys):
    model = earlier
    root, page = tmp_path / "split", tmp_path / "page.html"
    for number, part in enumerate(("train", "test"), 3):
        for name in ("circle", "square"):
            (root / part / name).mkdir(parents=True)
            file = "{}{:03d}.jpg".format(name, number)
            os.link(os.path.join(folder, name, file), str(root / part / name / file))
    for target, is_met in (("0.01", True), ("1", False)):
        code, output, errors = run(capsys, "report", model, root, page, "--json", "--target", target)
        found = json.loads(output)
        assert (found["verdict"] == "met") is is_met and code == (0 if is_met else 4)
        assert found["suspects"] is None and found["images"] == 2 and errors == ""
    bad = root / "test" / "square" / "cut.jpg"
    bad.write_bytes((root / "test" / "square" / "square004.jpg").read_bytes()[:700])
    code, output, errors = run(capsys, "report", model, root, page, "--json")
    assert code == 3 and "1 of the photographs cannot be read" in errors and str(bad) in errors
    assert [each["path"] for each in json.loads(output)["skipped"]] == [str(bad)]


# In a process of its own

def test_quiet_in_a_pipe(folder, model):
    process = start("predict", model, folder)
    output, errors = process.communicate()
    assert process.returncode == 0 and errors == b"" and output.count(b"\n") == 31


def open_terminal():
    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return own, other


def test_progress_on_a_terminal(folder, model):
    own, other = open_terminal()
    process = subprocess.Popen([sys.executable, "-m", "gear_transfer", "predict", model, folder],
                               cwd=HOME, stdout=subprocess.PIPE, stderr=other)
    os.close(other)
    output = process.communicate()[0]
    shown = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while True:
            shown += os.read(own, 4096)
    os.close(own)
    assert b"Predicting" in shown and b"100%" in shown
    assert output.count(b"\n") == 31 and b"Predicting" not in output


COMMANDS = [["train", "{folder}", "{new}.gtm"] + QUICK, ["predict", "{model}", "{folder}"],
            ["tune", "{folder}", "--layers", "mixed1,mixed2", "--sizes", "64", "--folds", "2"],
            ["evaluate", "{model}", "{noise}"], ["report", "{model}", "{folder}", "{new}.html"]]


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
@pytest.mark.parametrize("kind, quiet", [("terminal", False), ("terminal", True), ("pipe", False)])
@pytest.mark.slow
def test_bars_of_every_command(folder, model, tmp_path, monkeypatch, capsys, command, kind, quiet):
    """Drawn on a terminal alone, to standard error, unless --quiet is given."""
    own, other = open_terminal() if kind == "terminal" else os.pipe()
    for name in ("circle", "square"):  # nothing to warn of
        (tmp_path / "noise" / name).mkdir(parents=True)
        Image.effect_noise((90, 90), 90).save(str(tmp_path / "noise" / name / "new.png"))
    arguments = [part.format(folder=folder, model=model, new=tmp_path / "new",
                             noise=tmp_path / "noise") for part in command]
    if command[0] != "train":
        arguments.append("--no-cache")
    with os.fdopen(other, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert cli.main(arguments + ["--quiet"] * quiet) == 0
        stream.flush()
        os.set_blocking(own, False)
        try:
            shown = os.read(own, 1 << 16).decode()
        except BlockingIOError:
            shown = ""
    os.close(own)
    assert ("100%" in shown) == (kind == "terminal" and not quiet) == bool(shown)
    assert "100%" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_reader_that_leaves(folder, model):
    process = start("predict", model, *([folder] * 40))
    assert process.stdout.readline() == b"path,predicted,probability,error\n"
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1 and errors == b""


def test_interrupt(folder, model, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "find_images", interrupted)
    assert run(capsys, "predict", model, folder) == (130, "", "gear-transfer: interrupted\n")


# Check

def test_largest_photograph_that_is_read(model, tmp_path, capsys):
    path = str(tmp_path / "large.png")
    Image.new("RGB", (1100, 1000)).save(path)
    limit = Image.MAX_IMAGE_PIXELS
    assert run(capsys, "predict", model, path, "--no-cache", "--max-pixels", "1.2")[0] == 0
    code, output, _ = run(capsys, "predict", model, path, "--no-cache", "--max-pixels", "1")
    assert code == 3 and "--max-pixels" in table(output)[0]["error"]
    assert Image.MAX_IMAGE_PIXELS == limit


def test_cache_info_and_clear(model, folder, tmp_path, capsys):
    paths = load_folder(folder).paths[:3]
    assert run(capsys, "predict", model, *(paths + ["--cache", tmp_path / "c"]))[0] == 0
    code, output, _ = run(capsys, "cache", "info", "--cache", tmp_path / "c", "--json")
    facts = json.loads(output)
    assert code == 0 and facts["vectors"] == 3 and facts["bytes"] == os.path.getsize(facts["path"])
    code, output, _ = run(capsys, "cache", "info", "--cache", tmp_path / "c")
    assert code == 0 and "3 in" in output and "used" in output
    code, output, _ = run(capsys, "cache", "clear", "--cache", tmp_path / "c")
    assert code == 0 and "0 in" in output
    assert json.loads(run(capsys, "cache", "info", "--cache", tmp_path / "none", "--json")[1])["bytes"] == 0
    os.makedirs(str(tmp_path / "bad" / "features.sqlite3"))
    code, _, errors = run(capsys, "cache", "clear", "--cache", tmp_path / "bad")
    assert code == 1 and "cannot be used" in errors


def test_many_unreadable_files_are_one_warning(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict, "_AT_ONCE", 4)
    paths = [str(tmp_path / "{}.jpg".format(i)) for i in range(20)]
    code, output, errors = run(capsys, "predict", model, *(paths + ["--no-cache"]))
    assert code == 3 and len(table(output)) == 20
    assert errors.count("warning") == 1 and "20 of the images" in errors
