#!/bin/sh
# Valgrind's memcheck over one whole run of the core: photographs, features, training, predictions.
#
#   sh ci/valgrind.sh [build-folder]
#
# Fails on any error and any block that is lost; nothing is suppressed. oneDNN keeps to AVX2, beyond
# which valgrind knows no instructions.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
make_folder "$@"

command -v valgrind >/dev/null || {
    echo "valgrind was not found: 'apt-get install valgrind'" >&2
    exit 1
}
objects=$build/valgrind
flags="-g -O1"
compile_all test_whole_run && link_test test_whole_run || exit 1
ONEDNN_MAX_CPU_ISA=AVX2 valgrind --error-exitcode=1 --leak-check=full \
    --errors-for-leak-kinds=definite,indirect,possible --show-leak-kinds=definite,indirect,possible \
    "$objects/test_whole_run"
