#!/bin/sh
# All tests on a fresh machine: make an environment, install, run the C tests and pytest.
#
#     sh ci/test.sh [--fast] [FOLDER]
#
# FOLDER (default: build/test) receives the environment. PYTHON names the interpreter (default:
# python3), GEAR_TRANSFER_WHEEL a wheel to install in place of these sources. Tests that need real
# photographs and weights look for them in ../shared, or where GEAR_TRANSFER_SHARED says. Long sweeps
# run as a sample; ci/thorough.sh runs them whole.
#
# With --fast (default: build/fast) only what takes a minute: the C tests without sanitizers, and
# pytest without the tests marked `slow`, on an editable installation that is kept for the next time;
# of the core only that is compiled which has changed.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
tests=all
if [ "${1:-}" = --fast ]; then
    tests=fast
    folder=$(absolute "${2:-build/fast}")
else
    folder=$(absolute "${1:-build/test}")
fi
environment=$folder/environment
GEAR_TRANSFER_SHARED=${GEAR_TRANSFER_SHARED:-$(dirname "$root")/shared}
export GEAR_TRANSFER_SHARED
mkdir -p "$folder"

# test_core SCRIPT [OPTION]: one of the scripts for the C tests.
test_core() {
    script=$1
    shift
    ONEDNN_ROOT="${ONEDNN_ROOT:-$environment}" sh "ci/$script.sh" "$@" "$folder/core"
}

# run_pytest [OPTION...]: from another folder, so that the sources here are not imported in place of
# what was installed; in as many processes as there are jobs.
run_pytest() {
    if [ "$jobs" -gt 1 ]; then
        # A thread that spins takes the processor from the tests of the other process.
        OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
        export OMP_WAIT_POLICY
        set -- "$@" -n "$jobs"
    fi
    (cd "$folder" && PATH="$environment/bin:$PATH" python -m pytest -q -p no:cacheprovider \
        -c "$root/pyproject.toml" --rootdir "$root" "$@" "$root/tests")
}

if [ $tests = fast ]; then
    if [ ! -e "$environment/complete" ]; then
        echo "Making an environment in $environment, with an editable installation"
        make_environment "$environment"
        install "$environment" -e ".[test]"
        install "$environment" setuptools
        touch "$environment/complete"
    fi
    PATH="$environment/bin:$PATH" python setup.py -q build_ext --inplace
    test_core core_tests --plain
    run_pytest -m "not slow"
    exit
fi

echo "Making an environment in $environment"
make_environment "$environment"
echo "$installing"
install "$environment" "${package}[test,notebook]"

echo "Testing the core alone: with sanitizers, and with calls failing that can fail"
for script in core_tests thread_sanitizer faults; do
    test_core $script
done

echo "Testing the installed package"
run_pytest
