#!/bin/sh
# The C tests under ThreadSanitizer, but for forks, of which it knows nothing.
#
#   sh ci/thread_sanitizer.sh [build-folder]
#
# libgomp is not compiled for it, so the barriers of a parallel region go unseen: the only such region
# is in the test of threads (`note`), whose reports are left out.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
make_folder "$@"

objects=$build/threads
flags="-g -O1 -fsanitize=thread"
names="test_whole_run test_head_train test_head_scale test_backbone_use test_head test_head_bf16
test_threads"
# shellcheck disable=SC2086
compile_all $names || exit 1
echo "race:note" >"$objects/suppressions"
# The runtime splits its options at blanks, which a path may have: the name is seen from the folder.
cd "$objects" || exit 1
TSAN_OPTIONS="suppressions=suppressions allocator_may_return_null=1 exitcode=66"
export TSAN_OPTIONS

run_program() {
    link_test "$1" || return 1
    if "./$1" >"$1.out" 2>"$1.err"; then
        echo "$1: $(tail -1 "$1.out"), no race"
    else
        cat "$1.err"
        echo "$1: $(tail -1 "$1.out"), $(grep -c WARNING: "$1.err") reports"
        return 1
    fi
}

# shellcheck disable=SC2086
in_parallel run_program $names
