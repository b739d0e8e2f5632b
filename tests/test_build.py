"""setup.py compiles what changed and nothing else, and says in one sentence what stops it."""
import json
import os
import re
import sys
import types

import pytest

import gear_transfer
from conftest import ROOT
from projects import build, make_project, run, write

pytestmark = pytest.mark.main_python("setuptools is not in every environment")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project that is built, in a folder with a blank, an umlaut and a sign of make's in its name."""
    folder = make_project(str(tmp_path_factory.mktemp("projects") / u"Ger\u00e4te $1 #2"))
    build(folder)
    return folder


def objects(folder):
    """Time of each object, by the name of its source."""
    return dict((os.path.splitext(name)[0], os.stat(os.path.join(place, name)).st_mtime_ns)
                for place, _, names in os.walk(os.path.join(folder, "build"))
                for name in names if name.endswith(".o"))


def rebuilt(folder, *options, **environment):
    """Names of the objects that another build makes."""
    before = objects(folder)
    build(folder, *options, **environment)
    after = objects(folder)
    return sorted(name for name in after if after[name] != before.get(name))


def number(folder):
    return int(run(sys.executable, "-c", "from gear_transfer import _core; print(_core.number())",
                   cwd=folder))


def touch(folder, name):
    """Make a file newer than all objects."""
    newest = max(objects(folder).values()) + 10 ** 7
    os.utime(os.path.join(folder, name), ns=(newest, newest))


@pytest.mark.slow
def test_what_is_compiled_again(project):
    assert number(project) == 42 and rebuilt(project) == []
    touch(project, "csrc/common/number.c")
    assert rebuilt(project) == ["number"]
    touch(project, "csrc/common/number.h")
    assert rebuilt(project) == ["module", "number"]
    write(project, "csrc/common/other.h", "#define GT_OTHER 3\n")
    assert rebuilt(project) == ["number"] and number(project) == 43
    assert rebuilt(project, GEAR_TRANSFER_CFLAGS="-DUNUSED") == ["module", "number"]
    assert rebuilt(project, GEAR_TRANSFER_CFLAGS="-DUNUSED") == []


@pytest.mark.slow
def test_a_failed_compile_is_tried_again(project):
    good = "int gt_other(void)\n{\n    return 5;\n}\n"
    path = write(project, "csrc/common/number.c", "int gt_other(void)\n{\n    return;;\n")
    with pytest.raises(AssertionError, match="number.c"):
        build(project)
    write(project, "csrc/common/number.c", good)
    os.utime(path, ns=(10 ** 18, 10 ** 18))  # older than every object
    assert "number" in rebuilt(project) and number(project) == 45
    assert rebuilt(project) == []


@pytest.mark.slow
def test_compile_commands(project):
    path = os.path.join(project, "compile_commands.json")
    assert not os.path.exists(path)
    build(project, "--compile-commands")
    with open(path, encoding="utf-8") as stream:
        entries = json.load(stream)
    assert sorted(entry["file"] for entry in entries) == [
        "csrc/common/number.c", "csrc/python/module.c"]
    for entry in entries:
        assert os.path.samefile(entry["directory"], project) and "-Icsrc" in entry["arguments"]
        run(*(entry["arguments"] + ["-fsyntax-only"]), cwd=project)


@pytest.mark.slow
def test_oneDNN_lies_beside_the_core(project):
    places = os.listdir(os.path.join(project, "gear_transfer"))
    assert {"libdnnl.so.3", "LICENSE-oneDNN.txt", "THIRD-PARTY-PROGRAMS-oneDNN.txt"} <= set(places)
    core = [name for name in places if name.startswith("_core.") and name.endswith(".so")]
    text = run("readelf", "-d", "gear_transfer/" + core[0], cwd=project)
    assert re.search(r"R(UN)?PATH.*\[\$ORIGIN[:\]]", text), "oneDNN elsewhere would be taken first"


@pytest.mark.slow
def test_another_onednn_stays_where_it_is(tmp_path, monkeypatch):
    include, library = load_setup(monkeypatch).find_onednn_folders()
    root = os.path.dirname(library)
    folder = make_project(str(tmp_path / "project"))
    build(folder, ONEDNN_ROOT=root)
    core = [name for name in os.listdir(os.path.join(folder, "gear_transfer")) if "so" in name]
    assert len(core) == 1 and core[0].startswith("_core."), "the library was copied"
    text = run("readelf", "-d", "gear_transfer/" + core[0], cwd=folder)
    assert re.search(r"R(UN)?PATH.*\[" + re.escape(library) + r"[:\]]", text)
    output = build(make_project(str(tmp_path / "other")), code=1, ONEDNN_ROOT=str(tmp_path))
    assert output.splitlines()[-1] == (
        "error: oneDNN's header was not found in {}, which ONEDNN_ROOT names: it must hold include/ "
        "and lib/ of oneDNN 3.x.".format(tmp_path))


def test_the_version_stands_in_one_place(tmp_path):
    folder = make_project(str(tmp_path / "project"))
    assert run(sys.executable, "-W", "ignore", "setup.py", "--version",
               cwd=folder).splitlines()[-1] == "4.5.6"
    with open(os.path.join(ROOT, "setup.py"), encoding="utf-8") as stream:
        assert gear_transfer.__version__ not in stream.read()


def load_setup(monkeypatch, arguments=("setup.py", "--version"), folder=ROOT):
    """The names that setup.py defines, without building anything."""
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.setattr(setuptools, "setup", lambda **settings: None)
    monkeypatch.setattr(sys, "argv", list(arguments))
    path = os.path.join(folder, "setup.py")
    scope = {"__file__": path, "__name__": "setup_under_test"}
    with open(path, encoding="utf-8") as stream:
        exec(compile(stream.read(), path, "exec"), scope)
    return types.SimpleNamespace(**scope)


@pytest.mark.parametrize("version", ["9.0.1", "18.1"])
def test_an_old_pip_gets_one_sentence(tmp_path, version):
    """As pip 9 to 18 run setup.py, whose text becomes the program of 'python -c'."""
    write(str(tmp_path), "modules/pip/__init__.py", "__version__ = {!r}\n".format(version))
    folder = make_project(str(tmp_path / "project"))
    program = ("import setuptools, tokenize; __file__ = 'setup.py'; "
               "exec(compile(tokenize.open(__file__).read(), __file__, 'exec'))")
    output = run(sys.executable, "-W", "ignore", "-c", program, "egg_info", cwd=folder, code=1,
                 env=dict(os.environ, PYTHONPATH=str(tmp_path / "modules")))
    assert output.splitlines() == [
        "error: pip 19 or newer is needed: python -m pip install 'pip==20.3.4'"]


def test_a_newer_pip_may_run_setup(monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", types.SimpleNamespace(__version__="20.3.4"))
    load_setup(monkeypatch, ("-c", "egg_info"))


@pytest.mark.parametrize("answer, wanted", [
    ("glibc 2.17", "2023.0.0"), ("glibc 2.26", "2023.0.0"), ("glibc 2.27", "2023.2.0"),
    ("glibc 2.36", "2023.2.0"), ("musl", "2023.2.0"), (None, "2023.2.0")])
def test_the_release_of_onednn_follows_the_c_library(monkeypatch, answer, wanted):
    def confstr(name):
        assert name == "CS_GNU_LIBC_VERSION"
        if answer is None:
            raise ValueError("unrecognized configuration name")
        return answer
    setup = load_setup(monkeypatch)
    monkeypatch.setattr(os, "confstr", confstr)
    assert setup.onednn_version() == wanted


def test_lists_of_prerequisites(monkeypatch, tmp_path):
    listed = load_setup(monkeypatch).listed_prerequisites
    path = write(str(tmp_path), "a.d", "build/a.o: csrc/a.c csrc/a\\ b.h \\\n /x/$$1\\#2/c.h\n")
    assert listed(path) == ["csrc/a.c", "csrc/a b.h", "/x/$1#2/c.h"]
    assert listed(path + "missing") is None
