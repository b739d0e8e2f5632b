#!/bin/sh
# Line coverage of the C core by its tests in C: a line for each file, then all; fails below 95
# percent.
#
#   sh ci/coverage.sh [build-folder]
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
make_folder "$@"

objects=$build/coverage
flags="-O0 -g --coverage"
rm -f "$objects"/*.gcda
compile_all || exit 1
for name in $(test_names); do
    if ! { link_test "$name" && "$objects/$name" >"$objects/$name.out" 2>&1; }; then
        cat "$objects/$name.out" >&2
        echo "$name failed" >&2
        exit 1
    fi
done
cd "$objects" || exit 1
for source in $(core_sources); do
    ${GCOV:-gcov} "$(basename "$source" .c).gcda" 2>/dev/null
done | awk -v "folder=$here/csrc/" '
    /^File / {
        name = substr($0, 7, length($0) - 7)
        ours = index(name, folder) == 1 && name ~ /\.c$/
        name = substr(name, length(folder) + 1)
    }
    ours && /^Lines executed:/ {
        split($2, parts, /[:%]/)
        lines = $4
        covered = parts[2] * lines / 100
        printf "%-36s %6.2f %% of %4d lines\n", name, parts[2], lines
        all += lines
        ours = 0
        all_covered += covered
    }
    END {
        if (all == 0) {
            print "gcov gave no figures"
            exit 1
        }
        printf "%-36s %6.2f %% of %4d lines\n", "all", 100 * all_covered / all, all
        exit 100 * all_covered / all < 95
    }'
