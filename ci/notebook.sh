#!/bin/sh
# The main job on a fresh machine: make an environment, install, run the notebooks from top to bottom.
#
#     sh ci/notebook.sh [FOLDER]
#
# FOLDER (default: build/notebook) receives the environment, the executed notebooks and what they write.
# NOTEBOOKS lists which, by their names without the ending (default: both).
# GEAR_IMAGES and NEW_IMAGES name folders of photographs; without them shapes are generated.
# PYTHON names the interpreter (default: python3), GEAR_TRANSFER_WHEEL a wheel to install in place of
# these sources.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

folder=$(absolute "${1:-build/notebook}")
GEAR_IMAGES=$(named_folder GEAR_IMAGES "${GEAR_IMAGES:-}")
NEW_IMAGES=$(named_folder NEW_IMAGES "${NEW_IMAGES:-}")
export GEAR_IMAGES NEW_IMAGES

mkdir -p "$folder"
echo "Making an environment in $folder/environment"
make_environment "$folder/environment"
echo "$installing"
install "$folder/environment" "${package}[notebook]"

NOTEBOOKS=${NOTEBOOKS:-04-Transfer-Learning 05-Look-Inside}
for name in $NOTEBOOKS; do
    cp "notebooks/$name.ipynb" "$folder"
done
cd "$folder"
PATH="$folder/environment/bin:$PATH"
export PATH
for name in $NOTEBOOKS; do
    echo "Running the notebook $name"
    python -m nbconvert --log-level ERROR --to notebook --inplace --execute \
        --ExecutePreprocessor.timeout=3600 --ExecutePreprocessor.kernel_name=python3 "$name.ipynb"
    # Of a bar that was drawn over and over, only the last line is kept.
    python -m nbconvert --log-level ERROR --CoalesceStreamsPreprocessor.enabled=True --to html \
        "$name.ipynb"
done
# tell WHAT NAME: where a file is that one of the notebooks writes.
tell() {
    [ ! -e "$folder/$2" ] || printf '%-24s %s\n' "$1:" "$folder/$2"
}
for name in $NOTEBOOKS; do
    tell "executed notebook" "$name.ipynb"
    tell "  as a page" "$name.html"
done
tell "picture of predictions" predictions.png
tell "trained classifier" gear_classifier.gtm
tell "report" report.html
