#!/bin/sh
# Build, install and test with the other interpreters at hand: all but the notebook, and Dask where
# there is no release of it for that Python.
#
#     sh ci/other_pythons.sh [FOLDER]
#
# PYTHONS lists interpreters; the default is what is found of 3.5, 3.6, 3.8 and the newest one.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/pythons}")
GEAR_TRANSFER_SHARED=${GEAR_TRANSFER_SHARED:-$(dirname "$root")/shared}
export GEAR_TRANSFER_SHARED

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

find_newest() {
    for minor in 16 15 14 13 12; do
        newest=$(find_python "3.$minor")
        if [ -n "$newest" ]; then
            echo "$newest"
            return
        fi
    done
}

# The tests of the main job: what fits into a script that runs for each of several interpreters.
main_job_tests() {
    for name in backbone cache convert datasets head_numbers image_folders images importers_hdf5_safety \
        importers_keras importers_native model_file package plots prefetch reference_features \
        weights; do
        echo "$root/tests/test_$name.py"
    done
}

mkdir -p "$folder"
tested=0
for python in ${PYTHONS:-$(find_python 3.5) $(find_python 3.6) $(find_python 3.8) $(find_newest)}; do
    version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    echo "Testing with Python $version ($python)"
    PYTHON=$python
    make_environment "$folder/$version"
    install "$folder/$version" ".[test]"
    (cd "$folder" && PATH="$folder/$version/bin:$PATH" python -m pytest -q -p no:cacheprovider \
        -c "$root/pyproject.toml" --rootdir "$root" -k "not test_examples" \
        $(main_job_tests))
    tested=$((tested + 1))
done
echo "tested with $tested other interpreters"
