#!/bin/sh
# The package must keep to the syntax and library of Python 3.5; vermin tells.
#
#     sh ci/syntax.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

folder=$(absolute "${1:-build/syntax}")
mkdir -p "$folder"
make_environment "$folder/environment"
install "$folder/environment" vermin
"$folder/environment/bin/vermin" --no-tips --violations --target=3.5- --backport typing \
    --eval-annotations gear_transfer setup.py
