"""The scripts of ci/ themselves, on a core of a few lines in a path with blanks and umlauts."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

pytestmark = pytest.mark.slow

CORE = """
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include "folder/small.h"
void *small_block(void) { return malloc(8); }
int small_engine(void) {
    dnnl_engine_t engine = NULL;
    int code = (int)dnnl_engine_create(&engine, dnnl_cpu, 0);
    return code == 0 ? (int)dnnl_engine_destroy(engine) : code;
}
"""
HEADER = "void *small_block(void);\nint small_engine(void);\n"
TEST = """
#include "check.h"
#include "folder/small.h"
int main(void) {
    int ran = 0;
    for (int i = 0; i < 10; i++) { ran += check_runs(i, 5); }
    CHECK(ran == (check_is_thorough() ? 10 : 2));
    void *block = small_block();
    CHECK(block != NULL);
    free(block);
    CHECK(small_engine() == WANTED);
    return check_report();
}
"""
FAULTS = """
#include "check.h"
#include "faults.h"
#include "folder/small.h"
int main(void) {
    gt_faults_arm(1, dnnl_out_of_memory, false);
    CHECK(small_block() == NULL && gt_faults_disarm() != NULL);
    for (int nth = 1; nth <= LAST; nth++) {
        gt_faults_arm(nth, dnnl_out_of_memory, false);
        CHECK(small_engine() != 0 && gt_faults_disarm() != NULL);
    }
    const char *path = getenv("FAULT_PLACES");
    CHECK(path == NULL || gt_faults_write_places(path));
    return check_report();
}
"""


def write(folder, name, text):
    path = folder / name
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "mit Leerzeichen [und] \u00e4\u00f6\u00fc"
    shutil.copytree(os.path.join(ROOT, "ci"), str(folder / "ci"))
    write(folder, "csrc/folder/small.c", CORE)
    write(folder, "csrc/folder/small.h", HEADER)
    write(folder, "csrc/python/binding.c", "#error not a part of the core")
    write(folder, "tests/core/twin.c", "extern int nothing;\n")
    write(folder, "tests/core/test_small.c", TEST.replace("WANTED", "0"))
    write(folder, "tests/core/test_faults.c", FAULTS.replace("LAST", "2"))
    for name in ("check.h", "faults.c", "faults.h", "wrappers.awk"):
        shutil.copy(os.path.join(ROOT, "tests", "core", name), str(folder / "tests" / "core"))
    return folder


def run(project, *arguments, **environment):
    """Exit code of a shell, and all it printed."""
    settings = dict(os.environ, GEAR_TRANSFER_JOBS="2", **environment)
    settings.setdefault("ONEDNN_ROOT", sys.prefix)
    process = subprocess.Popen(("sh",) + arguments, cwd=str(project), env=settings,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.communicate()[0].decode("utf-8", "replace")
    return process.returncode, output


def test_core_tests(project):
    code, output = run(project, "ci/core_tests.sh", "the build")
    assert code == 0 and output.splitlines() == [
        "test_small (sanitized): 3 passed, 0 failed", "test_small (plain): 3 passed, 0 failed",
        "6 passed, 0 failed"]
    compiled = project / "the build" / "plain" / "small.o"
    before = compiled.stat().st_mtime_ns
    assert run(project, "ci/core_tests.sh", "--plain", "the build")[0] == 0
    assert compiled.stat().st_mtime_ns == before, "it was compiled again"
    write(project, "csrc/folder/small.h", HEADER + "int small_more(void);\n")
    assert run(project, "ci/core_tests.sh", "--plain", "the build")[0] == 0
    assert compiled.stat().st_mtime_ns > before, "a header changed"
    write(project, "tests/core/test_small.c", TEST.replace("WANTED", "7"))
    code, output = run(project, "ci/core_tests.sh", "--plain", "the build")
    assert code == 1 and output.endswith("2 passed, 1 failed\n")
    assert "failed: small_engine() == 7" in output


def test_core_tests_run_whole_on_demand(project):
    code, output = run(project, "ci/core_tests.sh", "--plain", "b", GEAR_TRANSFER_THOROUGH="1")
    assert code == 0 and output.splitlines() == [
        "test_faults (plain): 4 passed, 0 failed", "test_small (plain): 3 passed, 0 failed",
        "7 passed, 0 failed"]


def test_what_does_not_compile_fails(project):
    write(project, "csrc/folder/small.c", CORE + "int unused(void) { int a; return 0; }\n")
    code, output = run(project, "ci/core_tests.sh", "--plain", "b")
    assert code == 1 and "unused variable" in output


def test_faults(project):
    code, output = run(project, "ci/faults.sh", "b")
    assert code == 0, output
    assert "3 places of calls that can fail, 0 of them never failed" in output
    write(project, "tests/core/test_faults.c", FAULTS.replace("LAST", "1"))
    code, output = run(project, "ci/faults.sh", "b")
    assert code == 1 and "never failed: folder/small.c:9, dnnl_engine_destroy" in output


def test_coverage(project):
    code, output = run(project, "ci/coverage.sh", "b")
    assert code == 0, output
    assert output.splitlines()[0].split() == ["folder/small.c", "100.00", "%", "of", "5", "lines"]


STEPS = """
. ci/common.sh
logs=$PWD/logs
step() {
    echo "this is $1 with $GEAR_TRANSFER_JOBS"
    case $1 in slow) sleep 0.3 ;; bad) exit 7 ;; worse) exit 8 ;; esac
}
run_steps slow quick $BAD && echo good
exit $?
"""


def test_steps_print_in_order_and_keep_the_exit_code(project):
    write(project, "steps.sh", STEPS)
    code, output = run(project, "steps.sh", BAD="")
    lines = [line for line in output.splitlines() if line.startswith(("this", "-----", "good"))]
    assert code == 0 and lines == ["----- slow", "this is slow with 1", "----- quick",
                                   "this is quick with 1", "good"]
    code, output = run(project, "steps.sh", BAD="bad worse")
    assert code == 7 and "good" not in output and "this is worse" in output
    assert "bad failed with the exit code 7" in output
