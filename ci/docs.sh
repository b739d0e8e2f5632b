#!/bin/sh
# The documentation site, from the pages in docs/ and the docstrings; warnings are errors.
#
#     sh ci/docs.sh [FOLDER]
#
# FOLDER (default: build/docs) receives the environment and the site. PYTHON names the interpreter
# (default: python3), GEAR_TRANSFER_WHEEL a wheel to install in place of these sources.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/docs}")
mkdir -p "$folder"
echo "Making an environment in $folder/environment"
make_environment "$folder/environment"
echo "$installing and Sphinx"
install "$folder/environment" "${package}[docs]"

echo "Building the site"
rm -rf "$folder/source" "$folder/site"
cp -r docs "$folder/source"
# From another folder, so that the sources here are not imported in place of what was installed.
cd "$folder"
PATH="$folder/environment/bin:$PATH"
export PATH
python "$root/docs/make_pictures.py" source/pictures
python -m sphinx -q -W --keep-going -b html source site
echo "site:  $folder/site/index.html"
# Fitted names end in an underscore, which Sphinx would take for the end of a reference.
grep -q 'id="gear_transfer.HeadClassifier.classes_"' site/api/*HeadClassifier*.html || {
    echo "the reference lists 'classes' for 'classes_'" >&2
    exit 1
}
