#!/bin/sh
# How many calls of the core (csrc/) can fail, and how many of them the test of faults has let
# fail: allocations, mappings, starts of threads and oneDNN, each place in the sources by itself.
#
#   sh ci/faults.sh [build-folder]
#
# Prints the loops of the test, then every place that never failed, then the counts; fails when a
# place is left.  What only other processors run, a source or a function, is left out.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
make_folder "$@"

objects=$build/faults
flags="-O0 -g -fno-pie -no-pie" # every call stays a call, at a fixed address
compile_all && link_test test_faults || exit 1
program=$objects/test_faults
if ! FAULT_PLACES=$objects/failed OMP_WAIT_POLICY=passive "$program" >"$objects/out" 2>&1; then
    cat "$objects/out"
    exit 1
fi
sed -n 's/^ *\(.*calls failed once.*\)$/\1/p' "$objects/out"
tail -1 "$objects/out"

elsewhere=skip_implementation # AVX-512 without VNNI
if ! grep -q avx512_bf16 /proc/cpuinfo; then
    elsewhere="$elsewhere head/gemm_bf16.c allocate_columns"
fi
if [ -n "$elsewhere" ]; then
    echo "not for this processor: $elsewhere"
fi

# The address after each call of a wrapper that can let it fail, and the wrapper's name.
sed -n 's/.*gt_faults_strike("\([a-z_0-9]*\)").*/\1/p' "$objects/wrappers.c" \
    "$here/tests/core/faults.c" >"$objects/names"
objdump -d --no-show-raw-insn "$program" | awk '
    NR == FNR { fails[$1] = 1; next }
    called != "" { print "0x" substr($1, 1, length($1) - 1), called }
    { called = "" }
    /call/ && match($NF, /<__wrap_[a-z_0-9]+>/) {
        called = substr($NF, RSTART + 8, RLENGTH - 9)
        if (!(called in fails)) {
            called = ""
        }
    }' "$objects/names" - >"$objects/calls"
awk '{ print $1 }' "$objects/calls" | addr2line -f -e "$program" | sed 's/ (disc.*//' |
    paste -d ' ' - - | paste -d ' ' "$objects/calls" - |
    awk -v "folder=$here/csrc/" -v "elsewhere=$elsewhere" '
    BEGIN { split(elsewhere, names); for (i in names) { left_out[names[i]] = 1 } }
    NR == FNR { failed[$1] = 1; next }
    index($4, folder) != 1 { next }
    { file = substr($4, length(folder) + 1); sub(/:.*/, "", file) }
    file in left_out || $3 in left_out { next }
    !($1 in failed) {
        print "never failed: " substr($4, length(folder) + 1) ", " $2
        left++
    }
    { all++ }
    END {
        printf "%d places of calls that can fail, %d of them never failed\n", all, left
        exit all == 0 || left > 0
    }' "$objects/failed" -
