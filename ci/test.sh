#!/bin/sh
# All tests on a fresh machine: make an environment, install, run the C tests and pytest.
#
#     sh ci/test.sh [FOLDER]
#
# FOLDER (default: build/test) receives the environment. PYTHON names the interpreter (default:
# python3). Tests that need real photographs and weights look for them in ../shared, or where
# GEAR_TRANSFER_SHARED says.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/test}")
mkdir -p "$folder"
echo "Making an environment in $folder/environment"
make_environment "$folder/environment"
echo "Installing gear_transfer (this compiles its core)"
install "$folder/environment" ".[test,notebook]"

echo "Testing the core alone: with sanitizers, and with each call failing that can fail"
for script in core_tests thread_sanitizer faults; do
    ONEDNN_ROOT="${ONEDNN_ROOT:-$folder/environment}" sh "ci/$script.sh" "$folder/core"
done

echo "Testing the installed package"
GEAR_TRANSFER_SHARED=${GEAR_TRANSFER_SHARED:-$(dirname "$root")/shared}
PATH="$folder/environment/bin:$PATH"
export GEAR_TRANSFER_SHARED PATH
# From another folder, so that the sources here are not imported in place of what was installed.
cd "$folder"
python -m pytest -q -p no:cacheprovider -c "$root/pyproject.toml" --rootdir "$root" "$root/tests"
