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
