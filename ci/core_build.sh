# How the programs that test the C core are built; to be read with '.' after `here` (the root of the
# project) is set.  The caller sets `flags`, for the compiler, and `objects`, a folder.
#
# ONEDNN_ROOT names the folder that holds oneDNN's include/ and lib/; without it the prefix of the
# python3 at hand is searched.

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

# What tests/core/faults.c stands in front of, beside all of oneDNN; and what else would allocate
# and is not to be used in the core without being added there.
system_calls="malloc calloc realloc free posix_memalign aligned_alloc mmap munmap \
madvise pthread_create fopen"
unguarded="strdup strndup asprintf vasprintf memalign valloc reallocarray getline mremap"

# make_folder [FOLDER]: sets `build` to it, or to a temporary one that goes when the script ends.
make_folder() {
    if [ $# -gt 0 ]; then
        build=$1
        mkdir -p "$build" || exit 1
    else
        build=$(mktemp -d) || exit 1
        trap 'rm -rf "$build"' EXIT
    fi
}

# CC and `flags` are split into words on purpose.
compile() {
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
        $flags -fopenmp -I"$here/csrc" -I"$here/tests/core" -isystem "$root/include" "$@"
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
    mkdir -p "$objects" || exit 1
    first=
    second=
    core=
    sources=$(find "$here/csrc" -name '*.c' ! -path '*/python/*' | sort)
    for source in $sources "$here"/tests/core/*.c; do
        spare=$first
        first="$second $source"
        second=$spare
    done
    for source in $sources; do
        core="$core $objects/$(basename "$source" .c).o"
    done
    # shellcheck disable=SC2086
    compile_objects $first &
    job=$!
    # shellcheck disable=SC2086
    compile_objects $second
    code=$?
    wait $job && [ $code -eq 0 ] && compile_wrappers
}

# Every function of oneDNN that the core calls gets a wrapper that can fail: `wrapping` is what the
# linker is to be told, wrappers.o has the functions.
compile_wrappers() {
    # shellcheck disable=SC2086
    called=$(nm -u $core | awk 'NF == 2 { print $2 }' | sort -u)
    for name in $unguarded; do
        if echo "$called" | grep -qx "$name"; then
            echo "the core calls $name, for which tests/core/faults.c has no wrapper" >&2
            return 1
        fi
    done
    wrapped=$(echo "$called" | grep '^dnnl_' | tr '\n' ' ')
    echo '#include <oneapi/dnnl/dnnl.h>' | compile -E -P -x c - |
        awk -v "names=$wrapped" -f "$here/tests/core/wrappers.awk" >"$objects/wrappers.c" &&
        compile_objects "$objects/wrappers.c" || return 1
    wrapping=
    for name in $wrapped $system_calls; do
        wrapping="$wrapping -Wl,--wrap=$name"
    done
}

# link_test NAME: the program of that test; the one of faults with the wrappers.
link_test() {
    extra=
    if [ "$1" = test_faults ]; then
        extra="$objects/faults.o $objects/wrappers.o $wrapping"
    fi
    # shellcheck disable=SC2086
    compile "$objects/$1.o" "$objects/twin.o" $extra $core -o "$objects/$1" -L"$library" \
        -Wl,-rpath,"$library" -ldnnl -lm -lpthread
}
