"""Traps of Python 3.5, on which no machine of ours runs; vermin sees syntax and names, not these."""
import argparse
import os
import re
import subprocess
import sys

import pytest

from conftest import HOME, ROOT
from gear_transfer import cli

#: How argparse of Python 3.5 to 3.8 cuts a usage line before it breaks it; it asserts that the
#: parts, joined again, are the line.
PARTS = r"\(.*?\)+|\[.*?\]+|\S+"

PROGRAM = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import python_3_5
python_3_5.forget_order()
python_3_5.forget_paths()
import gear_transfer as gt
from gear_transfer import cli
home = pathlib.Path(sys.argv[2])
images = gt.load_folder(gt.make_shapes(home / "shapes", per_class=20))
model = gt.TransferClassifier(input_size=64, layer="mixed2", cache=home / "cache").fit(images)
model.save(home / "shapes.gtm")
again = gt.load_model(home / "shapes.gtm")
paths = [pathlib.Path(path) for path in images.paths]
assert (again.predict(paths) == model.predict(images.paths)).all()
assert list(again.history_) == ["loss", "accuracy", "val_loss", "val_accuracy"]
gt.report(again, home / "shapes", home / "page.html")
assert cli.main(["convert", str(home / "shapes.gtm"), str(home / "w.gtw"), "--json"]) == 0
assert gt.Backbone.load(home / "w.gtw", layer="mixed2").fingerprint() is not None
assert cli.main(["predict", str(home / "shapes.gtm"), str(home / "shapes"), "--json"]) == 0
"""


def parsers():
    """(name, parser) of the command and all its commands."""
    parser = cli._parser()
    yield "gear-transfer", parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in sorted(action.choices):
                yield name, action.choices[name]


def can_be_cut(parser, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100000")
    usage = parser.format_usage().split(":", 1)[1].split(None, 1)[1].strip()
    return " ".join(re.findall(PARTS, usage)) == usage


def test_usage_can_be_broken(monkeypatch):
    found = list(parsers())
    assert len(found) == 1 + len(cli._COMMANDS)
    for name, parser in found:
        assert can_be_cut(parser, monkeypatch), name


def test_usage_that_cannot_be_broken_would_be_found(monkeypatch):
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", metavar="NAME[+NAME][,NAME]")
    assert not can_be_cut(parser, monkeypatch)


@pytest.mark.slow
def test_a_job_without_order_and_paths(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, os.path.join(ROOT, "tests"), str(tmp_path)],
        cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.communicate()[0].decode()
    assert process.returncode == 0, output


#: Of Python 3.6; what is newer fails to compile there (ci/other_pythons.sh).
NEWER_C = r"\b(METH_FASTCALL|PyOS_FSPath|PyErr_ResourceWarning|PyErr_SetImportErrorSubclass|" \
          r"PySlice_(Unpack|AdjustIndices)|Py_FinalizeEx|PyAsyncGen_\w+|PyCode_[GS]etExtra|" \
          r"Py_RETURN_RICHCOMPARE|Py_UNREACHABLE)\b"


def test_the_binding_uses_no_newer_function():
    folder = os.path.join(ROOT, "csrc", "python")
    names = [name for name in os.listdir(folder) if name.endswith((".c", ".h"))]
    assert len(names) >= 5
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            assert re.search(NEWER_C, stream.read()) is None, name


@pytest.mark.parametrize("text, result", [("{'a': 1, 'b': 2}", "ba"), ("dict(a=1, b=2)", "ba"),
                                          ("{k: 1 for k in 'ab'}", "ba"), ("named(a=1, b=2)", "ba"),
                                          ("collections.OrderedDict([('a', 1), ('b', 2)])", "ab")])
def test_order_is_taken(tmp_path, text, result):
    (tmp_path / "ordered.py").write_text(
        "import collections\n\n\ndef named(**each):\n    '''Text.'''\n    return each\n\n\n"
        "print(''.join({}))\n".format(text))
    program = ("import sys; sys.path[:0] = sys.argv[1:]; import python_3_5; "
               "python_3_5.ROOTS = (sys.argv[1],); python_3_5.forget_order(); import ordered")
    output = subprocess.check_output(
        [sys.executable, "-c", program, str(tmp_path), os.path.join(ROOT, "tests")], cwd=HOME)
    assert output.decode().strip() == result


@pytest.mark.parametrize("call", ["open(path)", "os.path.join(path, 'a')", "json.loads(b'{}')",
                                  "shutil.copyfile(path, str(path) + 'b')"])
def test_paths_and_bytes_are_refused(tmp_path, call):
    (tmp_path / "caller.py").write_text(
        "import json, os, pathlib, shutil\npath = pathlib.Path(__file__)\nopen(str(path)).close()\n"
        "path.exists(), path.resolve(), path.read_text()\ntry:\n    {}\n"
        "except TypeError:\n    print('refused')\n".format(call))
    program = ("import sys; sys.path[:0] = sys.argv[1:]; import python_3_5; "
               "python_3_5.ROOTS = (sys.argv[1],); python_3_5.forget_paths(); import caller")
    output = subprocess.check_output(
        [sys.executable, "-c", program, str(tmp_path), os.path.join(ROOT, "tests")], cwd=HOME)
    assert output.decode().strip() == "refused"
