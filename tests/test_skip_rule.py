"""The rule of conftest.py: in CI, with the shared data there, a skipped test is a failed one."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import HOME, ROOT

TESTS = ("import pytest\n\n\ndef test_data(shared):\n    assert shared\n\n\n"
         "def test_skipping():\n    pytest.skip('some reason')\n")


@pytest.mark.parametrize("ci, has_data, outcome", [
    ("true", True, "1 failed, 1 passed"),
    ("true", False, "2 skipped"),
    ("", True, "1 passed, 1 skipped"),
])
@pytest.mark.slow
def test_skips_count(tmp_path, ci, has_data, outcome):
    shutil.copy(os.path.join(ROOT, "tests", "conftest.py"), str(tmp_path))
    (tmp_path / "test_sample.py").write_text(TESTS)
    data = tmp_path / "shared"
    if has_data:
        (data / "gear").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_sample.py"],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, CI=ci, GEAR_TRANSFER_SHARED=str(data), PYTHONPATH=HOME))
    output = process.communicate()[0].decode()
    assert output.splitlines()[-1].startswith(outcome), output
    assert (process.returncode != 0) == ("failed" in outcome)


@pytest.mark.slow
@pytest.mark.parametrize("ci, outcome", [
    ("", "1 passed"), ("true", "1 error" if sys.version_info >= (3, 9) else "1 passed")])
def test_without_dask(tmp_path, ci, outcome):
    """The other tests are found all the same; in CI a missing Dask is an error."""
    shutil.copy(os.path.join(ROOT, "tests", "conftest.py"), str(tmp_path))
    (tmp_path / "test_sample.py").write_text("def test_sample():\n    assert True\n")
    (tmp_path / "test_dask.py").write_text("import distributed\n")
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.modules['distributed'] = None\n"
         "import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))"],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, CI=ci, GEAR_TRANSFER_SHARED=str(tmp_path), PYTHONPATH=HOME))
    output = process.communicate()[0].decode()
    assert output.splitlines()[-1].startswith(outcome), output
