"""Which files this process may still open, from now on: Landlock, the kernel's own means for a process without rights.

Unlike a chroot or namespaces it needs no privilege and no other program, and it takes nothing from the rest of the
site. What is not named can neither be read nor written nor listed; what was open before stays open. For good: nothing
takes it back. Linux 5.13 and later, where it is not switched off.

Source: Documentation/userspace-api/landlock.rst of the kernel, <linux/landlock.h>.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_RULE_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# Making, renaming and removing whatever there is; the rights on files since a version of the interface.
_FIRST_RIGHTS = (1 << 13) - 1
_LATER_RIGHTS = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _LATER_RIGHTS[3]
_READ = _EXECUTE | _READ_FILE | _READ_DIR


class Unavailable(Exception):
    """This kernel does not have Landlock, or has it switched off."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine_this_process(*, readable: Iterable[Path], writable: Iterable[Path] = ()) -> None:
    """Open nothing any more but what is at or below these paths. Those that do not exist are left out.

    Binds the calling thread and those that it starts, so it belongs before any other thread. Raises Unavailable; then
    nothing is confined.
    """
    library = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        result: int = library.syscall(ctypes.c_long(number), *arguments)
        if result < 0:
            raise Unavailable(os.strerror(ctypes.get_errno()))
        return result

    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    rights = _FIRST_RIGHTS
    for since, right in _LATER_RIGHTS.items():
        rights |= right if version >= since else 0
    asked = _Ruleset(rights)
    ruleset = call(
        _CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(ctypes.sizeof(asked)), ctypes.c_uint32(0)
    )
    try:
        for paths, allowed in ((readable, _READ), (writable, rights)):
            for path in paths:
                try:
                    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
                except OSError:
                    continue
                try:
                    granted = allowed & rights & (~0 if path.is_dir() else _ON_FILES)
                    rule = _PathBeneath(granted, place)
                    call(
                        _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule),
                        ctypes.c_uint32(0),
                    )  # fmt: skip
                finally:
                    os.close(place)
        if library.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise Unavailable("the process cannot give up new privileges")
        call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
