"""The package as a whole: its import, its public names, its command line, its examples."""
import ast
import doctest
import hashlib
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import subprocess
import sys
import tokenize

import pytest

import gear_transfer
from conftest import HOME, ROOT
from gear_transfer import cli
from gear_transfer.importers import download, load_network, weights
from gear_transfer.importers.weights import packaged_path
from keras_files import small_model

pytestmark = pytest.mark.every_python

PACKAGE = os.path.join(ROOT, "gear_transfer")
HEAVY = ("tensorflow", "torch", "keras", "matplotlib", "sklearn", "scipy", "h5py", "PIL", "tqdm",
         "pandas", "IPython")


def python(*arguments):
    """Exit code, output and errors of a fresh interpreter."""
    process = subprocess.Popen([sys.executable] + list(arguments), cwd=HOME,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate()
    return process.returncode, output.decode(), errors.decode()


# Import

def test_importing_loads_nothing_heavy():
    code, output, errors = python("-c", (
        "import sys, gear_transfer; dir(gear_transfer); "
        "print(sorted({!r} & set(sys.modules)))".format(set(HEAVY))))
    assert (code, output.strip()) == (0, "[]"), errors


def test_a_backbone_without_the_rest():
    """Computing features needs NumPy alone."""
    code, output, errors = python("-c", (
        "import sys, numpy as np; from gear_transfer import Backbone; "
        "Backbone.load(layer='mixed0', input_size=64).features(np.zeros((1, 64, 64, 3), np.uint8));"
        " print(sorted({!r} & set(sys.modules)))".format(set(HEAVY))))
    assert (code, output.strip()) == (0, "[]"), errors


@pytest.mark.slow
def test_the_whole_job_with_numpy_and_pillow(tmp_path):
    """scikit-learn takes longer to import than photographs to predict; it comes when asked for."""
    code, output, errors = python("-c", (
        "import sys; import gear_transfer as gt; "
        "images = gt.load_folder(gt.make_shapes(sys.argv[1], per_class=20)); "
        "model = gt.TransferClassifier(input_size=64, epochs=2, augment=1, "
        "cache=sys.argv[2]).fit(images); "
        "model.predict(images.paths); model.save(sys.argv[2] + '/model.gtm'); "
        "again = gt.load_model(sys.argv[2] + '/model.gtm'); again.known_score(images.paths); "
        "again.predict(images.paths, unknown='none of these'); gt.plot_history; "
        "model.set_params(epochs=1, l2=0.1).fit(images); "
        "gt.FeatureExtractor(cache=False, input_size=64).fit_transform(images.paths[:2]); "
        "print(sorted({!r} & set(sys.modules)))".format(set(HEAVY) - {"PIL"})),
        str(tmp_path / "shapes"), str(tmp_path))
    assert (code, output.strip()) == (0, "[]"), errors


def test_public_names():
    assert gear_transfer.__all__ == sorted(set(gear_transfer.__all__))
    for name in gear_transfer.__all__:
        value = getattr(gear_transfer, name)
        assert value.__module__.startswith("gear_transfer."), name
        assert value.__doc__, name
    assert set(gear_transfer.__all__) <= set(dir(gear_transfer))
    for name in ("load_folder", "Backbone", "FeatureExtractor", "HeadClassifier", "make_shapes",
                 "TransferClassifier", "load_model", "plot_history", "plot_predictions",
                 "plot_confusion_matrix"):
        assert name in gear_transfer.__all__
    scope = {}
    exec("from gear_transfer import *", scope)
    assert set(gear_transfer.__all__) <= set(scope)
    with pytest.raises(AttributeError) as caught:
        gear_transfer.TransferClasifier
    assert "'gear_transfer'" in str(caught.value) and "TransferClasifier" in str(caught.value)
    assert not hasattr(gear_transfer, "__wrapped__")


def test_public_methods_are_documented():
    for name in gear_transfer.__all__:
        value = getattr(gear_transfer, name)
        for method in vars(value) if isinstance(value, type) else ():
            if not method.startswith("_") and callable(getattr(value, method)):
                assert getattr(value, method).__doc__, (name, method)


# Examples and syntax

def modules():
    found = pkgutil.walk_packages([PACKAGE], "gear_transfer.")
    others = ("_core", "__main__")
    if importlib.util.find_spec("starlette") is None:  # see conftest.py
        others += ("serving.application",)
    return ["gear_transfer"] + sorted(name for _, name, _ in found if not name.endswith(others))


@pytest.mark.parametrize("name", modules())
@pytest.mark.slow
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_examples_are_found():
    finder = doctest.DocTestFinder()
    for module, name in [("features.backbone", "Backbone"),
                         ("features.extractor", "FeatureExtractor"),
                         ("classifiers.head", "HeadClassifier"),
                         ("classifiers.classifier", "TransferClassifier")]:
        tests = finder.find(importlib.import_module("gear_transfer." + module))
        assert [test for test in tests if test.name.endswith(name) and test.examples], name


def sources():
    for folder, _, names in os.walk(PACKAGE):
        for name in sorted(names):
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def newer_syntax(text):
    """What in a source would not run on Python 3.5, list of (line, what)."""
    found = []
    tree = ast.parse(text)
    names = {"JoinedStr": "f-string", "AnnAssign": "annotated variable", "NamedExpr": ":=",
             "Match": "match", "TryStar": "except*", "TemplateStr": "t-string"}
    for node in ast.walk(tree):
        kind = type(node).__name__
        if kind in names:
            found.append((node.lineno, names[kind]))
        if kind == "AsyncFunctionDef" and any(
                type(inner).__name__ in ("Yield", "YieldFrom") for inner in ast.walk(node)):
            found.append((node.lineno, "asynchronous generator"))
        if kind == "comprehension" and getattr(node, "is_async", 0):
            found.append((node.iter.lineno, "asynchronous comprehension"))
        if kind == "arguments" and getattr(node, "posonlyargs", None):
            found.append((node.posonlyargs[0].lineno, "positional-only parameter"))
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline)
              if token.type not in (tokenize.NL, tokenize.COMMENT)]
    for i, token in enumerate(tokens):
        if token.type == tokenize.NUMBER and "_" in token.string:
            found.append((token.start[0], "underscore in a number"))
        after = [following.string for following in tokens[i + 1:i + 4]]
        if token.string in ("*", "**") and len(after) == 3 and after[1:] == [",", ")"]:
            if _in_definition(tokens, i):
                found.append((token.start[0], "comma behind a starred parameter"))
    return found


def _in_definition(tokens, place):
    """Whether a token stands among the parameters of a def."""
    depth = 0
    for i in range(place - 1, 1, -1):
        depth += {")": 1, "(": -1}.get(tokens[i].string, 0)
        if depth < 0:
            return tokens[i - 2].string == "def"
    return False


def test_syntax_of_python_3_5():
    paths = list(sources())
    assert len(paths) > 20
    for path in paths:
        with io.open(path, encoding="utf-8") as stream:
            assert newer_syntax(stream.read()) == [], path


@pytest.mark.parametrize("text, what", [
    ("x = 1_000\n", "underscore in a number"), ("x: int = 1\n", "annotated variable"),
    ("print(f'{1}')\n", "f-string"),
    ("def f(*args,\n      ):\n    pass\n", "comma behind a starred parameter"),
    ("def f(a, **named,):\n    pass\n", "comma behind a starred parameter")])
def test_newer_syntax_would_be_found(text, what):
    assert [each for _, each in newer_syntax(text)] == [what]
    assert newer_syntax("def f(*args, a=1):\n    return f(*args,)\n") == []


# Command line

def test_version():
    assert python("-m", "gear_transfer", "--version") == (0, gear_transfer.__version__ + "\n", "")
    code, output, _ = python("-m", "gear_transfer")
    assert code == 2 and "convert" in output and "download" in output
    assert python("-m", "gear_transfer", "--help")[0] == 0


def test_convert(tmp_path, capsys):
    source, target = small_model(tmp_path / "small.h5"), str(tmp_path / "small.gtw")
    assert cli.main(["convert", source, target, "--preprocessing", "tf"]) == 0
    output = capsys.readouterr().out
    assert output == "{}: {} layers up to top, {:,} bytes\n".format(
        target, len(load_network(source).nodes), os.path.getsize(target))
    assert load_network(target).layers == load_network(source).layers
    assert cli.main(["convert", source, target, "--float32", "--preprocessing", "tf"]) == 0
    assert load_network(target).fingerprint() == load_network(source, None, "tf").fingerprint()
    assert cli.main(["convert", packaged_path("inception_v3"), target, "--layer", "conv2d_2"]) == 0
    cut = load_network(target)
    assert cut.layers[-1] == "conv2d_2"
    assert cut.fingerprint() == load_network(packaged_path("inception_v3"), "conv2d_2").fingerprint()


def test_convert_as_json(tmp_path, capsys):
    target = tmp_path / "cut.gtw"
    assert cli.main(["convert", packaged_path("inception_v3"), str(target), "--layer", "conv2d_2",
                     "--json"]) == 0
    written, content = load_network(str(target)), target.read_bytes()
    assert json.loads(capsys.readouterr().out) == {
        "path": str(target), "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "source": packaged_path("inception_v3"),
        "layers": len(written.nodes), "last_layer": "conv2d_2", "input_size": [299, 299],
        "preprocessing": {"scale": 1 / 127.5, "offset": -1.0},
        "fingerprint": written.fingerprint()}
    assert cli.main(["convert", "missing.h5", str(target), "--json"]) == 1
    assert capsys.readouterr().out == "" and target.read_bytes() == content


@pytest.mark.parametrize("arguments, part", [
    (["missing.h5", "x.gtw"], "missing.h5: no such file"),
    ([__file__, "x.gtw"], "not a weight file"),
    ([packaged_path("inception_v3"), "x.gtw", "--layer", "mixed77"], "did you mean mixed7"),
    ([packaged_path("inception_v3"), "no/such/folder/x.gtw"], "there is no folder")])
def test_convert_errors(tmp_path, arguments, part, monkeypatch, capsys):
    monkeypatch.chdir(str(tmp_path))
    assert cli.main(["convert"] + arguments) == 1
    output, errors = capsys.readouterr()
    assert output == "" and errors.startswith("gear-transfer: ") and part in errors
    assert errors.count("\n") == 1 and os.listdir(str(tmp_path)) == []


def test_errors_of_the_process():
    code, output, errors = python("-m", "gear_transfer", "convert", "missing.h5", "never.gtw")
    assert (code, output) == (1, "") and errors == "gear-transfer: missing.h5: no such file\n"
    assert python("-m", "gear_transfer", "convert")[0] == 2
    assert not os.path.exists(os.path.join(HOME, "never.gtw"))


def test_download(tmp_path, monkeypatch, capsys):
    def unreachable(url, timeout):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(download, "_open", unreachable)
    assert cli.main(["download", str(tmp_path)]) == 1
    output, errors = capsys.readouterr()
    assert output == "" and "Network is unreachable" in errors and errors.count("\n") == 1
    assert os.listdir(str(tmp_path)) == []

    class Response(io.BytesIO):
        def geturl(self):
            return download.OFFICIAL_URL

    body = b"weights"
    monkeypatch.setattr(download, "_open", lambda url, timeout: Response(body))
    monkeypatch.setattr(download, "OFFICIAL_SIZE", len(body))
    assert cli.main(["download", str(tmp_path)]) == 1
    assert "has MD5" in capsys.readouterr().err and os.listdir(str(tmp_path)) == []
    monkeypatch.setattr(download, "OFFICIAL_MD5", hashlib.md5(body).hexdigest())
    assert cli.main(["download", str(tmp_path)]) == 0
    path = os.path.join(str(tmp_path), weights.OFFICIAL_NAME)
    assert capsys.readouterr().out == path + "\n"
    with open(path, "rb") as stream:
        assert stream.read() == body
    expected = {"path": path, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(),
                "md5": hashlib.md5(body).hexdigest(), "url": download.OFFICIAL_URL}
    hashed, md5 = [], hashlib.md5
    monkeypatch.setattr(hashlib, "md5", lambda: hashed.append("md5") or md5())
    for downloaded in (False, True):  # it is there from above; then it is not
        assert cli.main(["download", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == dict(expected, downloaded=downloaded)
        assert len(hashed) == 1  # 90 million bytes are checked once
        del hashed[:]
        os.remove(path)
    monkeypatch.setattr(download, "_open", unreachable)
    assert cli.main(["download", str(tmp_path), "--json"]) == 1
    assert capsys.readouterr().out == ""
