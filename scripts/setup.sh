#!/bin/sh
# Builds the virtual environment $VENV with $PYTHON from the lock files given as arguments. Needs nothing but Python.
set -eu

say() { printf '%s\n' "$*" >&2; }

if ! "$PYTHON" -c '' >/dev/null 2>&1; then
    say "There is no working '$PYTHON' on this machine. OpenClaw needs Python 3.11 or newer: install it, or name it:"
    say "    make run PYTHON=/path/to/python3.11"
    exit 1
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "'$PYTHON' is $("$PYTHON" --version 2>&1); OpenClaw needs Python 3.11 or newer. Name one:"
    say "    make run PYTHON=python3.11"
    exit 1
fi
if ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    say "'$PYTHON' cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"
    exit 1
fi
free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
if [ ! -x "$VENV/bin/python" ] && [ "$free_kb" -lt 3000000 ]; then
    say "The disk is nearly full: $((free_kb / 1024)) MB are free here, and the virtual environment takes 2 GB."
    say "Make room, or clone to another disk."
    exit 1
fi

# An environment whose interpreter is gone (or older than asked for) is made anew.
if ! "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    rm -rf "$VENV"
    say "Making $VENV with $("$PYTHON" --version 2>&1)"
    "$PYTHON" -m venv "$VENV"
fi

say "Installing the locked dependencies into $VENV (a minute or two the first time)"
for lock in "$@"; do
    set -- "$@" -r "$lock"
    shift
done
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$VENV/bin/python" -m pip install --quiet "$@"
"$VENV/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
