"""Which background task each kind of subject wants after a decision. The ground knows names, not the floors above."""

from __future__ import annotations

_tasks: dict[str, str] = {}


def register(subject_type: str, task_name: str) -> None:
    """After every decision about a subject of this type, send the task with `subject_id`."""
    if _tasks.setdefault(subject_type, task_name) != task_name:
        raise ValueError(f"{subject_type} already has the task {_tasks[subject_type]}")


def task_for(subject_type: str) -> str:
    """The task's name, or nothing."""
    return _tasks.get(subject_type, "")
