"""What is distributed is whole, and runs wherever it is installed."""
import glob
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

from conftest import HOME, ROOT
from projects import copy_sources, run

pytestmark = [pytest.mark.slow,
              pytest.mark.main_python("builds the package, as ci/other_pythons.sh does itself")]

#: Computes in the core, and says where that and oneDNN's library lie.
PROGRAM = """
import numpy as np
from gear_transfer import Backbone, _core
images = np.zeros((1, 64, 64, 3), np.uint8)
print(Backbone.load(layer='mixed0', input_size=64).features(images).shape)
print(_core.__file__)
with open('/proc/self/maps') as stream:
    print(sorted(set(line.split(None, 5)[5].strip() for line in stream if 'libdnnl' in line)))
"""


def pip(*arguments, **environment):
    """Run pip of the environment of the tests, or of the one whose interpreter `python` names."""
    python = environment.pop("python", sys.executable)
    return run(python, "-m", "pip", "--disable-pip-version-check", *arguments,
               env=dict(os.environ, **environment))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that all of CI uses, or one made from these sources."""
    if os.environ.get("GEAR_TRANSFER_WHEEL"):
        return os.environ["GEAR_TRANSFER_WHEEL"]
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "-w", str(folder), copy_sources(str(folder / "sources")))
    return glob.glob(str(folder / "*.whl"))[0]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-W", "ignore", "setup.py", "-q", "sdist", "--dist-dir", str(folder),
        cwd=copy_sources(str(folder / "sources")))
    return glob.glob(str(folder / "*.tar.gz"))[0]


def test_a_wheel_needs_no_other_onednn(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        metadata = [file.read(name).decode() for name in names if name.endswith("/METADATA")][0]
    needed = [line for line in re.findall("^Requires-Dist: (.*)$", metadata, re.MULTILINE)
              if "extra ==" not in line]
    assert sorted(re.match("[A-Za-z-]+", line).group() for line in needed) == [
        "Pillow", "matplotlib", "numpy", "scikit-learn", "tqdm"]
    assert sum("libdnnl" in name for name in names) == 1
    assert {"gear_transfer/" + name for name in (
        "libdnnl.so.3", "LICENSE-oneDNN.txt", "THIRD-PARTY-PROGRAMS-oneDNN.txt", "_core.pyi",
        "py.typed", "data/inception_v3_mixed7.gtw")} <= set(names)
    assert not [name for name in names if name.startswith("tests/")]


def make_environment(folder):
    """An environment over the packages of the tests, in whose prefix there is a oneDNN too."""
    run(sys.executable, "-m", "venv", "--system-site-packages", folder)
    python = os.path.join(folder, "bin", "python")
    places = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    base = os.path.join(folder, "base")  # all but ourselves, who may be installed there
    os.mkdir(base)
    for path in [path for path in sys.path if path.endswith("site-packages")]:
        for name in sorted(os.listdir(path)):
            if "gear_transfer" not in name and not os.path.exists(os.path.join(base, name)):
                os.symlink(os.path.join(path, name), os.path.join(base, name))
    with open(os.path.join(places, "base.pth"), "w") as stream:
        stream.write(base + "\n")
    return python


@pytest.mark.parametrize("way", ["environment", "user", "target"])
def test_ways_of_installing(tmp_path, wheel, way):
    python = make_environment(str(tmp_path / "environment"))
    where = tmp_path / ("environment" if way == "environment" else "place")
    options = {"environment": [], "user": ["--user"], "target": ["--target", str(where)]}[way]
    settings = {"user": {"PYTHONUSERBASE": str(where)},
                "target": {"PYTHONPATH": str(where)}}.get(way, {})
    pip("install", "--no-deps", "--ignore-installed", *(options + [wheel]), python=python, **settings)
    output = run(python, "-c", PROGRAM, cwd=str(tmp_path), env=dict(os.environ, **settings))
    shape, core, libraries = output.splitlines()
    assert shape == "(1, 256)" and core.startswith(str(where)), output
    assert libraries == str([os.path.join(os.path.dirname(core), "libdnnl.so.3")])


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as file:
        file.extractall(str(folder))
    return glob.glob(str(folder / "*"))[0]


def files_below(folder):
    return {os.path.relpath(os.path.join(place, name), folder)
            for place, _, names in os.walk(folder) for name in names}


def test_a_source_distribution_is_whole(unpacked):
    found = files_below(unpacked)
    try:
        listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT).decode().split("\0")
        wanted = {name for name in listed if name and os.path.exists(os.path.join(ROOT, name))}
    except (OSError, subprocess.CalledProcessError):
        wanted = {"setup.py", "tests/conftest.py", "tests/core/check.h", "ci/test.sh", ".ci/run",
                  "csrc/python/core.h", "notebooks/04-Transfer-Learning.ipynb", "docs/conf.py",
                  "benchmarks/layers.py", "SECURITY.md"}
    assert wanted - {".gitignore"} <= found
    assert not [name for name in found - wanted
                if re.search(r"\.(so|o|pyc|part)\b|\.git/|\.gtm$", name)]


def test_the_tests_of_a_source_distribution_are_found(unpacked, tmp_path):
    """ci/wheels.sh runs them."""
    output = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only",
                 "-c", os.path.join(unpacked, "pyproject.toml"), "--rootdir", unpacked,
                 os.path.join(unpacked, "tests"), cwd=str(tmp_path),
                 env=dict(os.environ, PYTHONPATH=HOME))
    assert int(re.search(r"(\d+) tests collected", output).group(1)) > 1000


@pytest.mark.parametrize("command, said", [
    (["-c", "import gear_transfer as gt; gt.TransferClassifier()"], "ImportError: {}"),
    (["-m", "pytest", "-q"], "ERROR: {}"),
    (["-m", "gear_transfer", "check"], "gear-transfer: {}")])
def test_sources_without_a_core(unpacked, command, said):
    output = run(sys.executable, *command, cwd=unpacked,
                 code={"ERROR: {}": 4}.get(said, 1)).strip()
    sentence = ("{0}/gear_transfer has no compiled core for this Python: start Python in another "
                "folder to use the gear_transfer that is installed, or compile it here: "
                "python -m pip install -e \"{0}\"").format(os.path.realpath(unpacked))
    assert output.splitlines()[-1] == said.format(sentence)
    assert "import gear" in command[-1] or len(output.splitlines()) == 1
