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
compile_all || exit 1
echo "race:note" >"$objects/suppressions"
OMP_WAIT_POLICY=passive
TSAN_OPTIONS="suppressions=$objects/suppressions allocator_may_return_null=1 exitcode=66"
export OMP_WAIT_POLICY TSAN_OPTIONS
failed=0
for name in test_threads test_backbone_use test_head test_head_train test_head_scale \
    test_head_bf16 test_whole_run; do
    link_test "$name" || exit 1
    if "$objects/$name" >"$objects/$name.out" 2>"$objects/$name.err"; then
        echo "$name: $(tail -1 "$objects/$name.out"), no race"
    else
        cat "$objects/$name.err"
        echo "$name: $(tail -1 "$objects/$name.out"), $(grep -c WARNING: "$objects/$name.err") reports"
        failed=1
    fi
done
exit $failed
