"""The scripts of tests/faults, with fewer rounds: leaks, memory that is out, threads, forks."""
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from conftest import HOME, ROOT

FOLDER = os.path.join(ROOT, "tests", "faults")

sys.path.insert(0, FOLDER)

from model import photographs, trained_model  # noqa: E402

pytestmark = pytest.mark.every_python

#: Libgomp's threads sleep at once where they would spin, which with many of them takes minutes.
PASSIVE = {"OMP_WAIT_POLICY": "passive"}


def run(arguments, limit=100, **environment):
    """The last line of what a script or a piece of code prints; ends all of it when it hangs."""
    paths = os.pathsep.join([HOME, FOLDER])
    process = subprocess.Popen([sys.executable, "-W", "ignore"] + arguments, preexec_fn=os.setsid,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=dict(os.environ, PYTHONPATH=paths, **environment))
    try:
        output = process.communicate(timeout=limit)[0].decode()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("hangs: {}".format(process.communicate()[0].decode()[-2000:]))
    assert process.returncode == 0, output[-5000:]
    return output.strip().splitlines()[-1]


def script(name):
    return os.path.join(FOLDER, name + ".py")


@pytest.mark.slow
def test_nothing_is_kept():
    # The interpreter's own blocks come and go by some forty; a block kept every other round stands
    # out from them at some hundreds of rounds.
    assert ", 0 bad;" in run([script("leaks"), "300"], **PASSIVE)


@pytest.mark.slow
def test_memory_that_is_out():
    """Only where the interpreter can let its allocations fail, as CPython's own builds can."""
    try:
        import _testcapi
    except ImportError:
        pass
    else:
        assert hasattr(_testcapi, "set_nomemory")
        assert ", 0 bad;" in run([script("no_memory")], **PASSIVE)


@pytest.mark.slow
def test_many_threads():
    assert ": 0 answers differ, 0 errors" in run([script("threads"), "16", "8"], **PASSIVE)


@pytest.mark.slow
def test_forks_and_pools():
    assert "'good'" in run([script("forks"), "6"], **PASSIVE)


@pytest.fixture(scope="module")
def digest():
    """What tests/faults/beside.py prints of our answers."""
    model, (images, _) = trained_model(), photographs(5, seed=9)
    return hashlib.sha256(model.predict_proba(images).tobytes()
                          + model.predict_proba(images[:1]).tobytes()).hexdigest()


@pytest.mark.parametrize("order", [["ours", "sklearn"], ["sklearn", "ours"]])
@pytest.mark.slow
def test_beside_scikit_learn(order, digest):
    code = "import beside; print(beside.run({!r}, 1))".format(order)
    assert run(["-c", code], **PASSIVE) == digest
