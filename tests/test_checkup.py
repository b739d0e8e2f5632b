"""gear-transfer check: what it finds of an installation, and the features that prove it."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import gear_transfer as gt
from conftest import HOME
from gear_transfer import cli
from gear_transfer.cli import checkup
from gear_transfer.features import golden

pytestmark = pytest.mark.every_python


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gt.make_shapes(tmp_path_factory.mktemp("cli") / "shapes", per_class=10, size=64,
                          random_state=1)


def run(capsys, *arguments):
    """Exit code, output and errors of a command."""
    code = cli.main([str(each) for each in arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


@pytest.mark.slow
def test_check(capsys, folder):
    code, output, errors = run(capsys, "check", folder)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert all(line.split()[0] in ("ok", "-") for line in lines[:-1])
    assert all(" {} ".format(name) in output for name in (
        "processor", "threads", "numpy", "scikit-learn", "golden picture", "precisions", "cache"))
    assert lines[-1].startswith(folder + ": 30 photographs, about ")
    code, output, _ = run(capsys, "check", "--json")
    found = json.loads(output)
    assert code == 0 and found["ok"] is True and found["estimate"] is None
    assert {finding["name"] for finding in found["findings"] if finding["ok"]} >= {
        "golden picture", "precisions", "image formats", "head", "cache", "numpy", "Pillow"}


@pytest.mark.slow
def test_check_finds_wrong_features(capsys, monkeypatch):
    features = golden.golden_features()
    features[700] += 1e-4 * features.max()
    monkeypatch.setattr(golden, "golden_features", lambda: features)
    code, output, _ = run(capsys, "check")
    wrong = [line for line in output.splitlines() if line.startswith("wrong")]
    assert code == 1 and len(wrong) == 1 and "golden picture" in wrong[0]
    monkeypatch.setattr(golden, "golden_features", lambda: features[::-1])
    findings = checkup.check_installation()
    assert "golden picture" in [each.name for each in findings if each.ok is False]


@pytest.mark.slow
def test_check_finds_old_and_missing_libraries(capsys, monkeypatch):
    monkeypatch.setattr(checkup, "_LIBRARIES", [("numpy", "numpy", (99, 0)),
                                                ("nothing", "gear_transfer_nothing", (1, 0))])
    code, output, _ = run(capsys, "check")
    wrong = [line for line in output.splitlines() if line.startswith("wrong")]
    assert code == 1 and len(wrong) == 2
    assert "too old" in wrong[0] and "'pip install nothing'" in wrong[1]


@pytest.mark.slow
def test_check_finds_an_unwritable_cache(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    code, output, _ = run(capsys, "check")
    wrong = [line for line in output.splitlines() if line.startswith("wrong")]
    assert code == 1 and len(wrong) == 1 and "cannot be written to" in wrong[0]


def test_check_of_a_folder_without_images(tmp_path, capsys):
    code, output, errors = run(capsys, "check", tmp_path)
    assert (code, output) == (1, "") and "no readable images" in errors


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["SSE41", "AVX2"])
def test_golden_features_on_other_processors(instructions):
    process = subprocess.Popen(
        [sys.executable, "-c", "from gear_transfer import _core\n"
         "from gear_transfer.features import golden\n"
         "features, _ = golden.make_features()\n"
         "assert features.shape == (5, 768)\n"
         "print(_core.engine_info()[1], golden.difference(features))"],
        cwd=HOME, stdout=subprocess.PIPE, env=dict(os.environ, ONEDNN_MAX_CPU_ISA=instructions))
    used, difference = process.communicate()[0].decode().split()
    assert used.replace(".", "") == instructions.upper() or used.startswith("SSE")
    assert float(difference) <= golden.BOUND / 10


def test_the_golden_picture_stays():
    picture = golden.draw_picture()
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    assert picture.astype(int).sum() == 6489975 and len(np.unique(picture)) > 200
    assert golden.golden_features().std() > 0.3
