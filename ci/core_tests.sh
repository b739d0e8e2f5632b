#!/bin/sh
# Tests of the C core alone, without Python, under AddressSanitizer and UndefinedBehaviorSanitizer.
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
if [ -e "$root/lib64/libdnnl.so" ]; then
    library=$root/lib64
else
    library=$root/lib
fi
if [ $# -gt 0 ]; then
    build=$1
    mkdir -p "$build" || exit 1
else
    build=$(mktemp -d) || exit 1
    trap 'rm -rf "$build"' EXIT
fi

# CC is split into words on purpose: it may hold options.
compile() {
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
        -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
        -fopenmp -I"$here/csrc" -isystem "$root/include" "$@"
}

# compile_all: each source named on the command line to an object, without stopping at a failure.
compile_all() {
    bad=0
    for source in "$@"; do
        compile -c "$source" -o "$build/$(basename "$source" .c).o" || bad=1
    done
    return $bad
}

# Two jobs, each with every other source.
first=
second=
for source in "$here"/csrc/*.c "$here"/tests/core/*.c; do
    spare=$first
    first="$second $source"
    second=$spare
done
# shellcheck disable=SC2086  # the lists are split into words; the checkout's path has no blanks
{
    compile_all $first &
    job=$!
    compile_all $second
    status=$?
    wait $job && [ $status -eq 0 ] || exit 1
}

core=
for source in "$here"/csrc/*.c; do
    core="$core $build/$(basename "$source" .c).o"
done

export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1"
if [ -f "$here/tests/core/leaks.supp" ]; then
    export LSAN_OPTIONS="suppressions=$here/tests/core/leaks.supp:print_suppressions=0"
fi

passed=0
failed=0
for source in "$here"/tests/core/test_*.c; do
    name=$(basename "$source" .c)
    # shellcheck disable=SC2086
    if ! compile "$build/$name.o" "$build/twin.o" $core -o "$build/$name" -L"$library" \
        -Wl,-rpath,"$library" -ldnnl -lm -lpthread; then
        failed=$((failed + 1))
        continue
    fi
    "$build/$name" >"$build/$name.out" 2>"$build/$name.err"
    code=$?
    # The last line of a program that ran to its end: N passed, N failed
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$build/$name.out" | tail -n 1)
    good=${counts% *}
    bad=${counts#* }
    if [ $code -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then
        bad=1 # ended before its report, or a sanitizer objected
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
    echo "$name: ${good:-0} passed, ${bad:-0} failed"
    if [ $code -ne 0 ]; then
        cat "$build/$name.err"
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
