#!/bin/sh
# The test of faults, under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer; and how
# many calls of the core can fail, and how many of them it has let fail: allocations, mappings, starts
# of threads and oneDNN, each place in the sources by itself.
#
#   sh ci/faults.sh [build-folder]
#
# The first call from each place fails and a sample of the others, with GEAR_TRANSFER_THOROUGH=1 all
# of them. Prints the loops of the test, then every place that never failed, then the counts; fails when a
# place is left.  What only other processors run, a source or a function, is left out.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
make_folder "$@"

objects=$build/faults
flags="-O0 -g -fno-pie -no-pie" # every call stays a call, at a fixed address
flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=all"
ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
UBSAN_OPTIONS="print_stacktrace=1"
export ASAN_OPTIONS UBSAN_OPTIONS
compile_all test_faults && link_test test_faults || exit 1
program=$objects/test_faults

# run_program: add the places that failed to the list.
run_program() {
    if ! FAULT_PLACES=$objects/failed_now "$program" >"$objects/out" 2>&1; then
        cat "$objects/out"
        exit 1
    fi
    cat "$objects/failed_now" >>"$objects/failed"
}

rm -f "$objects/failed"
run_program
sed -n 's/^ *\(.*calls failed once.*\)$/\1/p' "$objects/out"
tail -1 "$objects/out"

# AVX-512 without VNNI; where oneDNN has only its reference for 8 bits or bf16.
elsewhere="skip_implementation choose_in_float32 lower_apart"
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

# report: the places that are left, and the counts; false if there are any.
report() {
    awk '{ print $1 }' "$objects/calls" | addr2line -f -e "$program" | sed 's/ (disc.*//' |
        paste -d ' ' - - | paste -d ' ' "$objects/calls" - |
        awk -v "folder=$here/csrc/" -v "elsewhere=$elsewhere" '
        BEGIN { split(elsewhere, names); for (i in names) { left_out[names[i]] = 1 } }
        NR == FNR { failed[$1] = 1; next }
        {
            at = index($0, folder) # address, name, function, place
            place = substr($0, at + length(folder))
            file = place
            sub(/:.*/, "", file)
        }
        !at || file in left_out || $3 in left_out { next }
        !($1 in failed) {
            print "never failed: " place ", " $2
            left++
        }
        { all++ }
        END {
            printf "%d places of calls that can fail, %d of them never failed\n", all, left
            exit all == 0 || left > 0
        }' "$objects/failed" -
}

# Which of several threads comes first differs from run to run, and with it what a sample meets.
for run in 1 2 3; do
    report >"$objects/report" && break
    run_program
done
report
