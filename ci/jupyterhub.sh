#!/bin/sh
# The main job as a person does it: a real JupyterHub, a browser, a login, Run All in JupyterLab, and
# the second notebook in the classic Notebook.
#
#     sh ci/jupyterhub.sh [FOLDER]
#
# FOLDER (default: build/jupyterhub) receives the environment, the logs, the executed notebooks and
# screenshots. GEAR_IMAGES and NEW_IMAGES name folders of photographs; without them shapes are
# generated. PYTHON names the interpreter (default: python3), GEAR_TRANSFER_WHEEL a wheel to install in
# place of these sources. What is missing of Chromium, its
# driver and Node is installed with apt-get, which needs root.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

root=$PWD
folder=$(absolute "${1:-build/jupyterhub}")
GEAR_IMAGES=$(named_folder GEAR_IMAGES "${GEAR_IMAGES:-}")
NEW_IMAGES=$(named_folder NEW_IMAGES "${NEW_IMAGES:-}")
export GEAR_IMAGES NEW_IMAGES

# need COMMAND PACKAGE...: install the system's packages where the command is not there.
need() {
    command -v "$1" >/dev/null && return
    wanted=$1
    shift
    echo "Installing $*"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "$@"; } \
        >"$folder/apt.log" 2>&1; then
        tail -20 "$folder/apt.log" >&2
        fail "$wanted is missing and 'apt-get install $*' failed; install it by hand"
    fi
}

mkdir -p "$folder"
need chromium chromium
need chromedriver chromium-driver
need npm nodejs npm

echo "Making an environment in $folder/environment"
make_environment "$folder/environment"
echo "$installing, JupyterHub, JupyterLab and the classic Notebook"
install "$folder/environment" "${package}[hub,serve]" pytest
echo "Installing JupyterHub's proxy"
if ! npm install --prefix "$folder/node" --no-audit --no-fund configurable-http-proxy \
    >"$folder/npm.log" 2>&1; then
    cat "$folder/npm.log" >&2
    fail "'npm install configurable-http-proxy' failed"
fi

echo "Starting JupyterHub and a browser"
PATH="$folder/environment/bin:$folder/node/node_modules/.bin:$PATH"
export PATH
# From another folder, so that the sources here are not imported in place of what was installed.
cd "$folder"
echo "Looking at the page of 'gear-transfer serve' in a browser"
python -m pytest -q -p no:cacheprovider -c "$root/pyproject.toml" --rootdir "$root" \
    "$root/tests/test_serving_page.py"
exec python "$root/ci/jupyterhub_session.py" "$root/notebooks" "$folder"
