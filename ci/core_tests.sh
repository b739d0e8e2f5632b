#!/bin/sh
# Tests of the C core alone, without Python: under AddressSanitizer and UndefinedBehaviorSanitizer,
# then as the extension module is compiled.
#
#   sh ci/core_tests.sh [build-folder]
#
# ONEDNN_ROOT names the folder that holds oneDNN's include/ and lib/; without it the prefix of the
# python3 at hand is searched.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
root=${ONEDNN_ROOT:-$(python3 -c 'import sys; print(sys.prefix)' 2>/dev/null)}
if [ ! -f "$root/include/oneapi/dnnl/dnnl.h" ]; then
    echo "oneDNN's headers are not in '$root/include': set ONEDNN_ROOT to the folder of a oneDNN" \
         "3.x, or 'pip install onednn-devel-cpu-gomp onednn-cpu-gomp'" >&2
    exit 1
fi
library=$root/lib
if [ ! -e "$library/libdnnl.so" ]; then
    library=$root/lib64
fi
if [ ! -e "$library/libdnnl.so" ]; then
    echo "oneDNN's library is not in '$root/lib': set ONEDNN_ROOT to the folder of a oneDNN 3.x," \
         "or 'pip install onednn-cpu-gomp'" >&2
    exit 1
fi
if [ $# -gt 0 ]; then
    build=$1
    mkdir -p "$build" || exit 1
else
    build=$(mktemp -d) || exit 1
    trap 'rm -rf "$build"' EXIT
fi

# CC and `flags` are split into words on purpose.
compile() {
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
        $flags -fopenmp -I"$here/csrc" -isystem "$root/include" "$@"
}

# Sources to objects; goes on after a failure, so that all messages are seen.
compile_objects() {
    bad=0
    for source in "$@"; do
        compile -c "$source" -o "$objects/$(basename "$source" .c).o" || bad=1
    done
    return $bad
}

# All sources in two jobs, each with every other one.  The lists are split into words: a checkout
# whose path has blanks is not for this script.
compile_all() {
    first=
    second=
    for source in "$here"/csrc/*.c "$here"/tests/core/*.c; do
        spare=$first
        first="$second $source"
        second=$spare
    done
    # shellcheck disable=SC2086
    compile_objects $first &
    job=$!
    # shellcheck disable=SC2086
    compile_objects $second
    code=$?
    wait $job && [ $code -eq 0 ]
}

# Run one program and add to the counts; its closing line is 'N passed, N failed'.
run_program() {
    name=$1
    "$objects/$name" >"$objects/$name.out" 2>"$objects/$name.err"
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
    mkdir -p "$objects" || exit 1
    if ! compile_all; then
        failed=$((failed + 1))
        return
    fi
    core=
    for source in "$here"/csrc/*.c; do
        core="$core $objects/$(basename "$source" .c).o"
    done
    for source in "$here"/tests/core/test_*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086
        if compile "$objects/$name.o" "$objects/twin.o" $core -o "$objects/$name" -L"$library" \
            -Wl,-rpath,"$library" -ldnnl -lm -lpthread; then
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
