"""The floors of csrc/ and gear_transfer/: no arrow leads up, and the check notices one that does."""
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope="module")
def floors():
    """ci/floors.py as a module."""
    spec = importlib.util.spec_from_file_location("floors", os.path.join(ROOT, "ci", "floors.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def core(tmp_path):
    """A copy of csrc/ that a test may spoil."""
    return shutil.copytree(os.path.join(ROOT, "csrc"), str(tmp_path / "csrc"))


def add_line(path, line):
    with open(path, "a") as file:
        file.write("\n" + line + "\n")


def test_no_arrow_leads_up():
    done = subprocess.run([sys.executable, os.path.join(ROOT, "ci", "floors.py")],
                          stdout=subprocess.PIPE, universal_newlines=True)
    assert done.stdout == "floors: 0 breaches\n"
    assert done.returncode == 0


@pytest.mark.parametrize("file, included, said", [
    ("graph/graph.c", "plan/plan.h", "not on a lower floor"),
    ("kernels/u8/u8.c", "kernels/amx/amx.h", "not on a lower floor"),
    ("kernels/u8/u8.c", "graph/graph.h", "not on a lower floor"),
    ("head/head.c", "plan/plan.h", "not on a lower floor"),
    ("graph/graph.c", "passes.h", "not a path from csrc/"),
    ("common/status.h", "common/bf16.h", None)])
def test_an_include_that_leads_up_is_noticed(floors, core, file, included, said):
    add_line(os.path.join(core, *file.split("/")), '#include "{}"'.format(included))
    wrong = floors.check_core(core)
    assert said in wrong[0] if said else wrong == []


def test_a_circle_is_noticed(floors, core):
    add_line(os.path.join(core, "common", "status.h"), '#include "common/bf16.h"')
    add_line(os.path.join(core, "common", "bf16.h"), '#include "common/status.h"')
    wrong, = floors.check_core(core)
    assert "circle" in wrong and "common/status" in wrong and "common/bf16" in wrong


@pytest.mark.parametrize("folder, line, said", [
    ("importers", "from ..features import Backbone", "not on a lower floor"),
    ("photographs", "from .. import features", "not on a lower floor"),
    ("importers", "from ..photographs import images", "not on a lower floor"),
    ("cli", "from ..classifiers.head import _secret", "private"),
    ("cli", "from ..classifiers import head", None)])
def test_an_import_that_leads_up_is_noticed(floors, tmp_path, folder, line, said):
    (tmp_path / "gear_transfer" / folder).mkdir(parents=True)
    (tmp_path / "gear_transfer" / folder / "one.py").write_text(line + "\n")
    wrong = floors.check_package(str(tmp_path / "gear_transfer"))
    assert said in wrong[0] if said else wrong == []


def test_private_attributes_of_another_folder_are_noticed(floors, tmp_path):
    for folder, text in (("classifiers", "class A(object):\n    def _own(self):\n        return self._own\n"),
                         ("cli", "def use(model):\n    return model._own()\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.py").write_text(text)
    wrong, = floors.check_private(str(tmp_path))
    assert "cli" in wrong and "_own" in wrong


@pytest.mark.slow
def test_the_picture_shows_the_folders_as_they_are(floors, tmp_path):
    floors.draw(ROOT, str(tmp_path / "floors.svg"))
    with open(os.path.join(ROOT, "docs", "floors.svg")) as file:
        assert file.read() == (tmp_path / "floors.svg").read_text()
