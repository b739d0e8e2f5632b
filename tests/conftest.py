"""Fixtures and rules that all tests share."""
import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import sys
import tempfile

import pytest

import gear_transfer

#: The folder that holds the package under test: where it is installed, or the sources.
HOME = os.path.dirname(os.path.dirname(os.path.abspath(gear_transfer.__file__)))
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("GEAR_TRANSFER_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
SHARED_PRESENT = os.path.isdir(os.path.join(SHARED, "gear"))


def pytest_configure():
    """Say once that the core is missing, not once for each file of tests."""
    try:
        gear_transfer._core
    except ImportError as error:
        raise pytest.UsageError(str(error))


def left_out():
    """Files of tests that import what is not here."""
    names = []
    if not hasattr(sys, "addaudithook"):
        # Audit hooks came with Python 3.8; what they show does not depend on the interpreter.
        names.append("test_no_code_on_load.py")
    # These are asked for from Python 3.9 on; in CI they must be there.
    are_asked_for = os.environ.get("CI") == "true" and sys.version_info >= (3, 9)
    for module, name in (("distributed", "test_dask.py"), ("onnxruntime", "test_export.py"),
                         ("uvicorn", "test_serving.py")):
        if importlib.util.find_spec(module) is None and not are_asked_for:
            names.append(name)
    # ci/jupyterhub.sh brings a browser.
    if not (importlib.util.find_spec("selenium") and importlib.util.find_spec("uvicorn")
            and shutil.which("chromium") and shutil.which("chromedriver")):
        names.append("test_serving_page.py")
    return names


collect_ignore = left_out()


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory):
    """Keep the features that tests compute out of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard():
    """Shells start what they run in the background with SIGINT ignored, which children inherit."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared():
    """Path of the folder with real photographs, weights and reference outputs."""
    if not SHARED_PRESENT:
        pytest.skip("needs the photographs, weights and references in " + SHARED)
    return SHARED


# Turns: where pytest-xdist has several processes run the tests, none runs beside one marked `alone`.

@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tell each process of pytest-xdist where the locks are."""
    config = node.config
    if not hasattr(config, "folder_of_locks"):
        config.folder_of_locks = tempfile.mkdtemp(prefix="gear_transfer_tests_")
        config.add_cleanup(lambda: shutil.rmtree(config.folder_of_locks, ignore_errors=True))
    node.workerinput["folder_of_locks"] = config.folder_of_locks


@contextlib.contextmanager
def locked(folder, name, kind):
    with open(os.path.join(folder, name), "a") as stream:
        fcntl.flock(stream, kind)
        yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Wait at the gate, then run beside others, or alone with the gate closed until all are out."""
    folder = getattr(item.config, "workerinput", {}).get("folder_of_locks")
    if folder is None:
        yield
        return
    alone = item.get_closest_marker("alone") is not None
    gate = locked(folder, "gate", fcntl.LOCK_EX)
    gate.__enter__()
    with locked(folder, "room", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        gate.__exit__(None, None, None)
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure in CI when the shared data are there."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and SHARED_PRESENT:
        if not hasattr(report, "wasxfail"):
            report.outcome = "failed"
            report.longrepr = "skipped in CI with shared data present: {}".format(report.longrepr)


@pytest.fixture(autouse=True)
def _same_limit_of_pixels():
    """What --max-pixels has changed for the process is undone for the next test."""
    from PIL import Image
    before = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = before
