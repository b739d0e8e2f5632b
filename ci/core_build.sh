# How the programs that test the C core are built; to be read with '.' after `here` (the root of the
# project) is set.  The caller sets `flags`, for the compiler, and `objects`, a folder.
#
# ONEDNN_ROOT names the folder that holds oneDNN's include/ and lib/; without it the prefix of the
# python3 at hand is searched.

. "$here/ci/common.sh"

# Threads of many programs at once, or of thousands of teams, that spin at barriers would take minutes.
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMP_WAIT_POLICY

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

# make_folder [FOLDER]: sets `build` to its absolute path, or to a temporary one that goes when the
# script ends.
make_folder() {
    if [ $# -gt 0 ]; then
        mkdir -p "$1" || exit 1
        build=$(cd "$1" && pwd) || exit 1
    else
        build=$(mktemp -d) || exit 1
        trap 'rm -rf "$build"' EXIT
    fi
}

# All C sources as seen from the root, the largest first: those of the core, and of its tests.
core_sources() {
    # shellcheck disable=SC2046
    (cd "$here" && ls -S $(find csrc -name '*.c' ! -path 'csrc/python/*'))
}
test_sources() {
    (cd "$here" && ls -S tests/core/*.c)
}

# The programs that test, the largest first.
test_names() {
    test_sources | sed -n 's|.*/\(test_.*\)\.c$|\1|p'
}

# CC and `flags` are split into words on purpose.
compile() {
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
        $flags -fopenmp -I"$here/csrc" -I"$here/tests/core" -isystem "$root/include" "$@"
}

# compile_object SOURCE: unless its object is newer than it and than all headers.
compile_object() {
    object=$objects/$(basename "$1" .c).o
    if [ ! -e "$object" ] || [ -n "$(find "$here/$1" -newer "$object")" ] ||
        [ -n "$(find "$here/csrc" "$here/tests/core" -name '*.h' -newer "$object")" ]; then
        rm -f "$object"
        compile -c "$here/$1" -o "$object"
    fi
}

# compile_all [NAME...]: the core, and the tests of these names or all.  Goes on after a failure, so
# that all messages are seen.
compile_all() {
    mkdir -p "$objects" || exit 1
    settings="${CC:-cc} $flags $root"
    if [ "$settings" != "$(cat "$objects/settings" 2>/dev/null)" ]; then
        rm -f "$objects"/*.o
        echo "$settings" >"$objects/settings"
    fi
    if [ $# -eq 0 ]; then
        wanted=$(test_sources)
    else
        wanted="tests/core/twin.c tests/core/faults.c"
        for name in "$@"; do
            wanted="$wanted tests/core/$name.c"
        done
    fi
    # The names within the project have no blanks.
    # shellcheck disable=SC2046,SC2086
    in_parallel compile_object $(core_sources) $wanted || return 1
    core=
    for source in $(core_sources); do
        core="$core $(basename "$source" .c).o"
    done
    compile_wrappers
}

# Every function of oneDNN that the core calls gets a wrapper that can fail: `wrapping` is what the
# linker is to be told, wrappers.o has the functions.
compile_wrappers() {
    # shellcheck disable=SC2086
    called=$(cd "$objects" && nm -u $core | awk 'NF == 2 { print $2 }' | sort -u)
    for name in $unguarded; do
        if echo "$called" | grep -qx "$name"; then
            echo "the core calls $name, for which tests/core/faults.c has no wrapper" >&2
            return 1
        fi
    done
    wrapped=$(echo "$called" | grep '^dnnl_' | tr '\n' ' ')
    echo '#include <oneapi/dnnl/dnnl.h>' | compile -E -P -x c - |
        awk -v "names=$wrapped" -f "$here/tests/core/wrappers.awk" >"$objects/wrappers.c" &&
        compile -c "$objects/wrappers.c" -o "$objects/wrappers.o" || return 1
    wrapping=
    for name in $wrapped $system_calls; do
        wrapping="$wrapping -Wl,--wrap=$name"
    done
}

# link_test NAME: the program of that test; the one of faults with the wrappers.
link_test() {
    extra=
    if [ "$1" = test_faults ]; then
        extra="faults.o wrappers.o $wrapping"
    fi
    # shellcheck disable=SC2086
    (cd "$objects" && compile "$1.o" twin.o $extra $core -o "$1" -L"$library" \
        -Wl,-rpath,"$library" -ldnnl -lm -lpthread)
}
