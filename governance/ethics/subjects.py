"""What the ground must know about things of the floors above, registered by name: tasks, parts, descriptions.

Which background task a kind of subject wants after a decision; of which objects a thing consists that takes requests
(an endpoint of model versions); and how an object describes itself in an evidence bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from governance.refs import ObjectRef

Parts = Callable[[ObjectRef], Iterable[ObjectRef]]
Description = Callable[[ObjectRef], Mapping[str, Any] | None]

_tasks: dict[str, str] = {}
_parts: dict[str, Parts] = {}
_descriptions: dict[str, Description] = {}


def register(subject_type: str, task_name: str) -> None:
    """After every decision about a subject of this type, send the task with `subject_id`."""
    if _tasks.setdefault(subject_type, task_name) != task_name:
        raise ValueError(f"{subject_type} already has the task {_tasks[subject_type]}")


def task_for(subject_type: str) -> str:
    """The task's name, or nothing."""
    return _tasks.get(subject_type, "")


def register_parts(object_type: str, parts: Parts) -> None:
    """A thing of this type answers through other objects: `parts` names them. Called inside its tenant's context."""
    if _parts.setdefault(object_type, parts) is not parts:
        raise ValueError(f"the parts of {object_type} are registered twice")


def parts_of(target: ObjectRef) -> list[ObjectRef]:
    """The objects behind a target; itself where nobody said anything else."""
    parts = _parts.get(target.type)
    return list(parts(target)) if parts is not None else [target]


def register_description(object_type: str, describe: Description) -> None:
    """How an object of this type describes itself in an evidence bundle; None when it is not there."""
    if _descriptions.setdefault(object_type, describe) is not describe:
        raise ValueError(f"the description of {object_type} is registered twice")


def describe(target: ObjectRef) -> Mapping[str, Any] | None:
    """What a target says about itself, in JSON-ready values. Called in the caller's row scope."""
    found = _descriptions.get(target.type)
    return found(target) if found is not None else None


def describable() -> list[str]:
    """The types that a bundle can be made of."""
    return sorted(_descriptions)
