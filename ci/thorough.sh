#!/bin/sh
# All that there is, whole: takes hours. The C tests with each call failing that can fail, ThreadSanitizer,
# valgrind, coverage; all of pytest on all Pythons; the scripts of tests/faults with all their rounds.
#
#     sh ci/thorough.sh [FOLDER]
#
# FOLDER (default: build/thorough) receives the environments. Stops at the first failure.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/thorough}")
GEAR_TRANSFER_THOROUGH=1
GEAR_TRANSFER_CFLAGS=${GEAR_TRANSFER_CFLAGS:--Wshadow -Wconversion -Werror}
export GEAR_TRANSFER_THOROUGH GEAR_TRANSFER_CFLAGS

sh ci/syntax.sh "$folder/syntax"
sh ci/test.sh "$folder/test"
environment=$folder/test/environment
for script in coverage valgrind; do
    ONEDNN_ROOT="${ONEDNN_ROOT:-$environment}" sh "ci/$script.sh" "$folder/core"
done
for name in beside forks interrupts kills leaks no_memory threads; do
    echo "Running tests/faults/$name.py"
    (cd "$folder" && OMP_WAIT_POLICY=passive "$environment/bin/python" "$root/tests/faults/$name.py")
done
sh ci/other_pythons.sh "$folder/pythons"
sh ci/notebook.sh "$folder/notebook"
sh ci/jupyterhub.sh "$folder/jupyterhub"
sh ci/docs.sh "$folder/docs"
