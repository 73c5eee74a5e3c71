"""The system calls that confined code may not make, as a seccomp filter.

Namespaces or Landlock take away what could be reached; this takes away most of the kernel's own surface: no sockets, no
new processes (threads work), no namespaces, no mounts, no debugging, no kernel keys, no io_uring, no memory that the
limits do not count. Everything else is allowed, because numerical libraries use what the C library likes to use.
"""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from functools import cache
from typing import Any

# seccomp(2), prctl(2), <linux/filter.h>.
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_INSTRUCTION_BYTES = 8

CLONE_THREAD = 0x00010000
AF_UNIX = 1

_SOCKETS = (
    "socket", "connect", "bind", "listen", "accept", "accept4", "getsockname", "getpeername", "setsockopt",
    "getsockopt", "socketcall",
)  # fmt: skip
_PROCESSES = ("fork", "vfork", "setns", "unshare", "pidfd_getfd", "pidfd_open", "kcmp")
_DEBUGGING = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "perf_event_open",
    "lookup_dcookie",
)
_MOUNTS = (
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "name_to_handle_at", "open_by_handle_at", "fanotify_init",
    "fanotify_mark", "quotactl", "quotactl_fd", "swapon", "swapoff", "acct",
)  # fmt: skip
_KERNEL = (
    "bpf", "userfaultfd", "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "iopl", "ioperm",
    "modify_ldt", "reboot", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime",
    "sethostname", "setdomainname", "vhangup", "uselib", "personality", "nfsservctl", "sysfs", "_sysctl", "vmsplice",
)  # fmt: skip
# Memory that RLIMIT_AS does not see: files without a name, System V and POSIX message queues, shared segments.
_UNCOUNTED_MEMORY = (
    "memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "shmdt", "semget", "msgget", "mq_open",
)  # fmt: skip


@cache
def filter_program(*, programs: bool = True) -> bytes:
    """Return the filter as a BPF program: what bubblewrap loads, and `load` does.

    `programs` says that the process may still become another program (execve). Raises ImportError or RuntimeError when
    the system's libseccomp.so.2 is missing.
    """
    import pyseccomp

    rules = _rules()
    for name in () if programs else ("execve", "execveat"):
        rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        return os.pread(file.fileno(), 1 << 20, 0)


def load(program: bytes) -> None:
    """Confine this process by a filter program. For good: nothing takes it back.

    Binds the calling thread and those that it starts, so it belongs before any other thread. Needs no library, which
    could not be opened any more. Raises OSError; then nothing is confined.
    """
    if not program:
        raise OSError("no filter")
    steps = ctypes.create_string_buffer(program, len(program))
    asked = _Program(len(program) // _INSTRUCTION_BYTES, ctypes.addressof(steps))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or library.prctl(
        _SET_SECCOMP, _FILTER, ctypes.byref(asked), 0, 0
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class _Program(ctypes.Structure):
    """`struct sock_fprog` of <linux/filter.h>."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _rules() -> Any:
    import pyseccomp

    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refused = pyseccomp.ERRNO(errno.EPERM)
    for name in (*_SOCKETS, *_PROCESSES, *_DEBUGGING, *_MOUNTS, *_KERNEL, *_UNCOUNTED_MEMORY):
        try:
            number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
        except (ValueError, OSError):
            continue  # this architecture or this libseccomp does not know the call
        if number >= 0:
            rules.add_rule(refused, name)
    # A new thread is made by clone with CLONE_THREAD; a clone without it is a new process. clone3 hides its flags in
    # memory, so it is said not to exist and the C library falls back to clone.
    rules.add_rule(refused, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0))
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    # An event loop wakes itself through a pair of local sockets; a pair of any other family is refused.
    rules.add_rule(refused, "socketpair", pyseccomp.Arg(0, pyseccomp.NE, AF_UNIX))
    return rules
