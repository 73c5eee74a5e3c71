"""What must hold before anything is started, each with a sentence on what to do when it does not."""

from __future__ import annotations

import ctypes
import errno
import shutil
import socket
import subprocess
import sys
import tempfile

from openclaw_site.config import Config
from openclaw_site.runner.errors import RunnerError

LEAST_FREE_BYTES = 500_000_000
LEAST_PYTHON = (3, 11)


def check_machine(config: Config) -> None:
    """Raise RunnerError for the first thing that keeps this machine from running the site."""
    check_python()
    check_state_folder(config)
    check_disk(config)
    check_port(config)
    check_sandbox()


def check_python() -> None:
    """Linux and a new enough Python."""
    if sys.version_info < LEAST_PYTHON:
        wanted = ".".join(map(str, LEAST_PYTHON))
        raise RunnerError(
            f"This is Python {sys.version.split()[0]}; OpenClaw needs {wanted} or newer.",
            f"Install python{wanted} and run `make run PYTHON=python{wanted}`.",
        )
    if not sys.platform.startswith("linux"):
        raise RunnerError(
            f"OpenClaw runs on Linux; this is {sys.platform}.", "Run it in a virtual machine or a container."
        )


def check_state_folder(config: Config) -> None:
    """The state folder exists and is ours to write."""
    try:
        config.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.var):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(config) from error
        raise RunnerError(
            f"The state folder {config.var} cannot be written: {error.strerror}.",
            "Make it yours (chown), or name another one in OPENCLAW_VAR.",
        ) from error


def check_disk(config: Config) -> None:
    """Enough room for the database's log and the artifacts."""
    if shutil.disk_usage(config.var).free < LEAST_FREE_BYTES:
        raise _disk_full(config)


def check_port(config: Config) -> None:
    """Nobody else listens where the web server will."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise RunnerError(
                    f"Port {config.port} on {config.host} is in use by another program.",
                    f"Stop that program, or choose another port: OPENCLAW_PORT={config.port + 1} make run.",
                ) from error
            raise RunnerError(
                f"The site cannot listen on {config.host}, port {config.port}: {error.strerror}.",
                "Correct OPENCLAW_HOST and OPENCLAW_PORT (ports below 1024 need special rights).",
            ) from error


def check_sandbox() -> None:
    """Plugin code runs only inside a sandbox, so what the sandbox is made of must be there."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise RunnerError(
            "The system library libseccomp.so.2 is missing; the sandbox for plugin code needs it.",
            "Install it: `apt-get install libseccomp2` on Debian and Ubuntu, `dnf install libseccomp` on Fedora.",
        ) from error
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "true"],
            capture_output=True,
            check=False,
            text=True,
        )
    except FileNotFoundError as error:
        raise RunnerError(
            "The program `unshare` is missing.",
            "Install it: `apt-get install util-linux` on Debian and Ubuntu.",
        ) from error
    if done.returncode:
        raise RunnerError(
            f"This machine does not allow user namespaces ({done.stderr.strip()}); the sandbox needs them.",
            "As root: `sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu also "
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`; in a container, allow `unshare` and `clone` "
            "in its seccomp profile.",
        )


def _disk_full(config: Config) -> RunnerError:
    return RunnerError(
        f"The disk of {config.var} is nearly full: less than {LEAST_FREE_BYTES // 1_000_000} MB are free.",
        "Make room, or name a folder on another disk in OPENCLAW_VAR.",
    )
