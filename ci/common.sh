# What the scripts of this folder share; to be read with '.', from the root of the project.

# Stop with one sentence.
fail() {
    echo "$0: $1" >&2
    exit 1
}

# absolute PATH: the path as seen from anywhere; nothing for nothing.
absolute() {
    case $1 in
    '' | /*) echo "$1" ;;
    *) echo "$PWD/$1" ;;
    esac
}

# named_folder VARIABLE VALUE: the value, a folder, as seen from anywhere; nothing for nothing. A name
# of no folder is an error: what runs would take other photographs in its place.
named_folder() {
    [ -z "$2" ] || [ -d "$2" ] || fail "$1 names no folder: $2"
    absolute "$2"
}

# make_environment FOLDER: a new virtual environment made with $PYTHON, or python3.
make_environment() {
    rm -rf "$1"
    if ! "${PYTHON:-python3}" -m venv "$1" >"$1.log" 2>&1; then
        "${PYTHON:-python3}" -m virtualenv "$1" >"$1.log" 2>&1 || fail "\
cannot make a virtual environment with ${PYTHON:-python3} (see $1.log); \
on Debian and Ubuntu: apt-get install python3-venv"
    fi
    rm -f "$1.log"
    # Before 19 pip does not build from pyproject.toml; 20.3.4 runs on Python 3.5 and newer.
    if "$1/bin/python" -c "import pip, sys; sys.exit(int(pip.__version__.split('.')[0]) >= 19)"; then
        install "$1" "pip==20.3.4"
    fi
}

# install FOLDER REQUIREMENT...: install into the environment; what pip says is shown if it fails.
install() {
    environment=$1
    shift
    if ! "$environment/bin/python" -m pip install --disable-pip-version-check "$@" \
        >"$environment.log" 2>&1; then
        cat "$environment.log" >&2
        fail "'pip install $*' failed"
    fi
    rm -f "$environment.log"
}

# What of the package is installed: a wheel made beforehand for this Python, or these sources.
package=${GEAR_TRANSFER_WHEEL:-.}

# What to say of it before.
installing="Installing gear_transfer (${GEAR_TRANSFER_WHEEL:-this compiles its core})"

# copy_sources FOLDER: what a build needs, for one that meets neither another build at the same time nor
# what an earlier one has left.
copy_sources() {
    rm -rf "$1"
    mkdir -p "$1"
    tar -cf - --exclude='*.so*' --exclude=__pycache__ ci csrc gear_transfer setup.py pyproject.toml ./*.md \
        LICENSE MANIFEST.in | tar -xf - -C "$1"
}

# package_for VERSION: the wheel for that Python in the folder GEAR_TRANSFER_WHEELS, or these sources.
package_for() {
    wheel=$(ls "${GEAR_TRANSFER_WHEELS:-/nowhere}"/*-cp"$(echo "$1" | tr -d .)"-*.whl 2>/dev/null || true)
    echo "${wheel:-.}"
}

# version_of PYTHON: as in 3.11.
version_of() {
    "$1" -c "import sys; print('%d.%d' % sys.version_info[:2])"
}

# find_python VERSION: path of a working interpreter of that version, from PATH or pyenv.
find_python() {
    for candidate in "$(command -v "python$1" || true)" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if [ -x "$candidate" ] && "$candidate" -c "import sys, venv
sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# How many processes may work at a time.
jobs=${GEAR_TRANSFER_JOBS:-$(nproc 2>/dev/null || echo 1)}

# in_parallel FUNCTION ARGUMENT...: call it with each of the arguments, in their order and as many at a
# time as there are jobs; false if one of the calls fails, after all of them.
in_parallel() {
    called=$1
    shift
    # Who makes the folder of an argument has it.
    claims=$(mktemp -d) || return 1
    workers=
    number=0
    while [ "$number" -lt "$jobs" ]; do
        (
            code=0
            number=0
            for argument in "$@"; do
                number=$((number + 1))
                mkdir "$claims/$number" 2>/dev/null || continue
                "$called" "$argument" || code=1
            done
            exit $code
        ) &
        workers="$workers $!"
        number=$((number + 1))
    done
    code=0
    for worker in $workers; do
        wait "$worker" || code=1
    done
    rm -rf "$claims"
    return $code
}

# run_step NAME: call `step` with it, its output and its exit code in files of the folder `logs`.
run_step() {
    file=$logs/$(echo "$1" | tr '/ ' '__')
    started=$(date +%s)
    echo "$1: begins"
    (
        GEAR_TRANSFER_JOBS=1
        export GEAR_TRANSFER_JOBS
        step "$1"
    ) >"$file.log" 2>&1
    code=$?
    echo "$code" >"$file.code"
    echo "$1: ends after $(($(date +%s) - started)) s$([ $code -eq 0 ] || echo ", FAILED")"
    return $code
}

# run_steps NAME...: call `step`, which the caller defines, with each of the names, as many at a time as
# there are jobs; then all that they printed, in order. The exit code is that of the first to fail.
run_steps() {
    mkdir -p "$logs"
    rm -f "$logs"/*.log "$logs"/*.code
    in_parallel run_step "$@" || true
    first=0
    for name in "$@"; do
        file=$logs/$(echo "$name" | tr '/ ' '__')
        code=$(cat "$file.code" 2>/dev/null || echo 1)
        echo
        echo "----- $name"
        cat "$file.log" || true
        if [ "$code" -ne 0 ]; then
            echo "$0: $name failed with the exit code $code" >&2
            [ $first -ne 0 ] || first=$code
        fi
    done
    echo
    return $first
}
