#!/bin/sh
# Tests of the C core alone, without Python: under AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer, then as the extension module is compiled.
#
#   sh ci/core_tests.sh [build-folder]
#
# ONEDNN_ROOT names the folder that holds oneDNN's include/ and lib/; without it the prefix of the
# python3 at hand is searched.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
make_folder "$@"

# Run one program and add to the counts; its closing line is 'N passed, N failed'.
run_program() {
    name=$1
    policy= # libgomp's own; thousands of teams that spin at barriers would take minutes
    if [ "$name" = test_faults ]; then
        policy=OMP_WAIT_POLICY=passive
    fi
    env $policy "$objects/$name" >"$objects/$name.out" 2>"$objects/$name.err"
    code=$?
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$objects/$name.out")
    good=${counts% *}
    bad=${counts#* }
    if [ $code -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then
        bad=1 # it ended before its report, or a sanitizer objected
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
    echo "$name ($kind): ${good:-0} passed, ${bad:-0} failed"
    if [ "${bad:-0}" -ne 0 ]; then
        cat "$objects/$name.err"
    fi
}

# Build and run everything with `flags`.
run_kind() {
    kind=$1
    objects=$build/$kind
    if ! compile_all; then
        failed=$((failed + 1))
        return
    fi
    for source in "$here"/tests/core/test_*.c; do
        name=$(basename "$source" .c)
        if link_test "$name"; then
            run_program "$name"
        else
            failed=$((failed + 1))
        fi
    done
}

# An allocation that is too large must fail as it does without the sanitizer.
ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
UBSAN_OPTIONS="print_stacktrace=1"
export ASAN_OPTIONS UBSAN_OPTIONS

passed=0
failed=0
flags="-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
run_kind sanitized
flags="-O3 -fno-math-errno"
run_kind plain
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
