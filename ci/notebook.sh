#!/bin/sh
# The main job on a fresh machine: make an environment, install, run the notebooks from top to bottom.
#
#     sh ci/notebook.sh [FOLDER]
#
# FOLDER (default: build/notebook) receives the environment, the executed notebooks and what they write.
# GEAR_IMAGES and NEW_IMAGES name folders of photographs; without them shapes are generated.
# PYTHON names the interpreter (default: python3).
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
echo "Installing gear_transfer (this compiles its core)"
install "$folder/environment" ".[notebook]"

cp notebooks/04-Transfer-Learning.ipynb notebooks/05-Look-Inside.ipynb "$folder"
cd "$folder"
PATH="$folder/environment/bin:$PATH"
export PATH
for name in 04-Transfer-Learning 05-Look-Inside; do
    echo "Running the notebook $name"
    python -m nbconvert --log-level ERROR --to notebook --inplace --execute \
        --ExecutePreprocessor.timeout=3600 --ExecutePreprocessor.kernel_name=python3 "$name.ipynb"
    # Of a bar that was drawn over and over, only the last line is kept.
    python -m nbconvert --log-level ERROR --CoalesceStreamsPreprocessor.enabled=True --to html \
        "$name.ipynb"
done
echo "executed notebooks:      $folder/04-Transfer-Learning.ipynb, 05-Look-Inside.ipynb (and .html)"
echo "picture of predictions:  $folder/predictions.png"
echo "trained classifier:      $folder/gear_classifier.gtm"
echo "report:                  $folder/report.html"
