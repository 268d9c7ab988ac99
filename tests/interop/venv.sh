#!/bin/sh
# Makes the clients' Python environment in the folder $1, or does nothing if it is already there and current.
# Silent when all is well. Needs Linux on x86-64 and python3 (3.10 or later) with pip (22.3 or later).
# PYTHON names another interpreter than python3.
set -eu

fail() {
    echo "venv.sh: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: venv.sh FOLDER"
here=$(cd "$(dirname "$0")" && pwd)
venv=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null \
    || fail "$python is missing or older than 3.10"
"$python" -m pip --version > /dev/null 2>&1 || fail "$python has no pip"

# Whatever else lies in the folder would be lost below.
if [ -n "$(ls -A "$venv" 2> /dev/null)" ] && [ ! -f "$venv/pyvenv.cfg" ]; then
    fail "$venv is neither empty nor a virtual environment"
fi

# Tests run side by side: the first makes the environment, the others wait for it.
mkdir -p "$venv"
exec 9< "$venv"
flock 9

# What the environment is made from: when either changes, it is made anew.
stamp="$("$python" -c 'import sys; print(sys.version)') $(cat "$here/requirements.txt")"
if [ -f "$venv/.made-from" ] && [ "$(cat "$venv/.made-from")" = "$stamp" ]; then
    exit 0
fi

# The machine's own pip fills the environment: Debian ships venv without the copy of pip that would go inside.
"$python" -m venv --clear --without-pip "$venv"
"$python" -m pip --python "$venv/bin/python" install \
    --quiet --disable-pip-version-check --no-input --root-user-action ignore \
    --no-deps --only-binary :all: --requirement "$here/requirements.txt" >&2
printf '%s\n' "$stamp" > "$venv/.made-from"
