#!/bin/sh
# Build, install and run the tests with the other interpreters at hand. With the oldest, the libraries
# are the oldest as well (ci/oldest.txt).
#
#     sh ci/other_pythons.sh [--list | FOLDER]
#
# PYTHONS lists interpreters; the default is what is found of 3.5, 3.6, 3.8 and the newest one, and
# --list prints it. Tests marked `every_python`, those of what differs between interpreters, run with
# the newest, and those of them that are not slow with all; with the oldest, whose libraries differ as
# well, all run that are not slow. With
# GEAR_TRANSFER_THOROUGH=1 all tests run with all of them. left_out() below has what is never run, with
# reasons.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/pythons}")
GEAR_TRANSFER_SHARED=${GEAR_TRANSFER_SHARED:-$(dirname "$root")/shared}
export GEAR_TRANSFER_SHARED

find_newest() {
    for minor in 16 15 14 13 12; do
        newest=$(find_python "3.$minor")
        if [ -n "$newest" ]; then
            echo "$newest"
            return
        fi
    done
}

# left_out VERSION: options of pytest for what is not run with that Python.
left_out() {
    # The notebooks: pip takes minutes to find releases of Jupyter's packages for old Pythons, and
    # ci/test.sh runs them.
    echo "--ignore=$root/tests/test_notebook.py"
    case $1 in
    3.5 | 3.6 | 3.8)
        # The package onnx has releases for it whose reference implementation is missing or older.
        echo "--ignore=$root/tests/test_importers_onnx.py --ignore=$root/tests/test_onnx_safety.py"
        echo "--ignore=$root/tests/test_onnx_node_cases.py"
        ;;
    esac
    case $1 in
    3.5 | 3.6)
        # The releases of Dask for it are older than the 2022.2 that setup.py asks for.
        echo "--ignore=$root/tests/test_dask.py"
        # Before 3.7 a pool's own submit waits for ever for a lock that a killed worker held.
        echo "--deselect=tests/test_distributed.py::test_a_pool_that_breaks_loses_nothing"
        # Before 3.7 nothing makes a fork wait for another thread.
        echo "--deselect=tests/test_cache.py::test_a_child_forked_while_a_thread_uses_the_cache"
        # The oldest pandas has no columns that may lack values.
        echo "--deselect=tests/test_labels.py::test_categories_and_columns_that_may_lack_values"
        # NumPy before 1.20 crashes by itself where memory is out when an array is released.
        echo "--deselect=tests/test_fault_scripts.py::test_memory_that_is_out"
        ;;
    3.8)
        # pip takes minutes to find a release of Dask for it; setup.py asks for it from 3.9 on.
        echo "--ignore=$root/tests/test_dask.py"
        ;;
    3.13)
        # It crashes by itself where memory is out when a function is made, as in `def` or `lambda`.
        echo "--deselect=tests/test_fault_scripts.py::test_memory_that_is_out"
        ;;
    esac
}

# chosen VERSION: which tests run with that Python, as an option of pytest.
chosen() {
    case ${GEAR_TRANSFER_THOROUGH:-}:$1 in
    1:*) echo "not main_python" ;;
    :3.5 | :3.6) echo "not main_python and not slow" ;;
    :3.8) echo "every_python and not slow" ;;
    *) echo "every_python" ;;
    esac
}

# libraries VERSION: options of pip.
libraries() {
    case $1 in
    3.5 | 3.6) echo "--constraint=ci/oldest.txt" ;;
    esac
}

PYTHONS=${PYTHONS:-$(find_python 3.5) $(find_python 3.6) $(find_python 3.8) $(find_newest)}
if [ "${1:-}" = --list ]; then
    for python in $PYTHONS; do
        echo "$python"
    done
    exit
fi
mkdir -p "$folder"
tested=0
for python in $PYTHONS; do
    version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    echo "Testing with Python $version ($python)"
    PYTHON=$python
    make_environment "$folder/$version"
    package=$(package_for "$version")
    if [ "$package" = . ]; then
        copy_sources "$folder/$version-sources"
        package=$folder/$version-sources
    fi
    # shellcheck disable=SC2046
    install "$folder/$version" $(libraries "$version") "${package}[test]"
    # From another folder, so that the sources here are not imported in place of what was installed.
    # shellcheck disable=SC2046
    (cd "$folder" && PATH="$folder/$version/bin:$PATH" python -m pytest -q -p no:cacheprovider \
        -c "$root/pyproject.toml" --rootdir "$root" -m "$(chosen "$version")" $(left_out "$version") \
        "$root/tests")
    tested=$((tested + 1))
done
echo "tested with $tested other interpreters"
