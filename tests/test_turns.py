"""The rule of conftest.py: of several processes, none runs a test beside one marked `alone`."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import HOME, ROOT

pytestmark = pytest.mark.slow

TESTS = """
import os, time
import pytest

@pytest.mark.parametrize("number", range(12))
def test_any(number):
    note("any")

@pytest.mark.alone
@pytest.mark.parametrize("number", range(3))
def test_alone(number):
    note("alone")

def note(kind):
    begin = time.time()
    time.sleep(0.05)
    with open(os.environ["NOTES"], "a") as stream:
        stream.write("{} {!r} {!r}\\n".format(kind, begin, time.time()))
"""


def overlap(one, other):
    return one[1] < other[2] and other[1] < one[2]


def test_nothing_runs_beside_a_test_that_is_alone(tmp_path):
    pytest.importorskip("xdist")
    shutil.copy(os.path.join(ROOT, "tests", "conftest.py"), str(tmp_path))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone")
    (tmp_path / "test_sample.py").write_text(TESTS)
    notes, temporary = tmp_path / "notes", tmp_path / "temporary"
    temporary.mkdir()
    environment = dict(os.environ, NOTES=str(notes), PYTHONPATH=HOME, TMPDIR=str(temporary))
    for name in list(environment):
        if name.startswith("PYTEST_"):
            del environment[name]
    output = subprocess.check_output(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider",
         "test_sample.py"], cwd=str(tmp_path), env=environment)
    assert b"15 passed" in output
    found = [(kind, float(begin), float(end)) for kind, begin, end in (
        line.split() for line in notes.read_text().splitlines())]
    assert len(found) == 15
    beside = [(one[0], other[0]) for i, one in enumerate(found) for other in found[:i]
              if overlap(one, other)]
    assert ("any", "any") in beside, "the two processes ran one after the other"
    assert not any("alone" in pair for pair in beside)
    assert not [name for name in os.listdir(str(temporary)) if name.startswith("gear_transfer")]
