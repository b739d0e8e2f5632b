#!/bin/sh
# No folder uses one of a higher floor (ci/floors.py), the C sources have the shape of .clang-format,
# and the package keeps to the syntax and library of Python 3.5 (vermin tells).
#
#     sh ci/syntax.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

folder=$(absolute "${1:-build/syntax}")
mkdir -p "$folder"
make_environment "$folder/environment"
install "$folder/environment" vermin clang-format==23.1.5
python3 ci/floors.py
find csrc tests/core -name '*.[ch]' -print0 |
    xargs -0 "$folder/environment/bin/clang-format" --dry-run --Werror
"$folder/environment/bin/vermin" --no-tips --violations --target=3.5- --backport typing \
    --eval-annotations gear_transfer setup.py
