#!/bin/sh
# Makes the virtual environment: venv.sh FOLDER [PYTHON]. Without PYTHON, the first interpreter that is new enough.
set -eu
folder=$1
chosen=${2:-}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "$chosen" ]; then
    if ! new_enough "$chosen"; then
        found=$("$chosen" --version 2>&1 | head -n 1) || found="not an interpreter that runs"
        echo "Python 3.11 or newer is needed, but PYTHON=$chosen is: $found" >&2
        exit 1
    fi
else
    for candidate in python3.11 python3 python3.12 python3.13 python3.14 python; do
        if new_enough "$candidate"; then
            chosen=$candidate
            break
        fi
    done
    if [ -z "$chosen" ]; then
        echo "Python 3.11 or newer is needed, and none was found." >&2
        echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2
        exit 1
    fi
fi

# Some distributions ship Python without ensurepip; then the interpreter's own pip fills the environment.
if ! "$chosen" -m venv "$folder" >/dev/null 2>&1; then
    "$chosen" -m venv --clear --without-pip "$folder"
    "$chosen" -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check pip
fi
echo "Made $folder with $("$folder/bin/python" --version)."
