"""What every long-running process verifies before it takes work."""

from __future__ import annotations

from django.core.checks import ERROR, Tags, run_checks


class UnsafeRuntime(RuntimeError):
    """The process must not run like this; the message says why and what to change."""


def verify_runtime() -> None:
    """Raise `UnsafeRuntime` when a database check fails: above all a role that can bypass row-level security."""
    problems = [m for m in run_checks(tags=[Tags.database], databases=["default"]) if m.level >= ERROR]
    if problems:
        raise UnsafeRuntime("\n".join(f"{problem.msg} {problem.hint or ''}" for problem in problems))
