"""Writes requirements*.lock from the environment this interpreter runs in (`make lock` makes a fresh one).

Each lock pins the closure of its `.in` file, less what the locks under it already pin. Local version labels
(`+cpu`) are left out, so that a lock names one release and the installer picks the build for the machine.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("requirements", "requirements-train", "requirements-dev")
# Needed by redis on the interpreters that older stable distributions ship; never installed on newer ones.
CONDITIONAL = {"requirements": ['async-timeout==5.0.1; python_full_version < "3.11.3"']}


def direct(name: str) -> list[Requirement]:
    """The requirements written in one `.in` file."""
    lines = (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-c"))]


def closure(wanted: list[Requirement]) -> dict[str, str]:
    """Every distribution that `wanted` needs in this environment: canonical name to public version."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = list(wanted)
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = metadata.distribution(requirement.name)
        pins[key[0]] = Version(distribution.version).public
        for line in distribution.requires or []:
            child = Requirement(line)
            extras = {"", *requirement.extras}
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(child)
    return pins


def main() -> None:
    """Write the three lock files."""
    below: dict[str, str] = {}
    for layer in LAYERS:
        pins = {name: pin for name, pin in closure(direct(layer)).items() if name not in below}
        below |= pins
        lines = [f"{name}=={pin}" for name, pin in pins.items()] + CONDITIONAL.get(layer, [])
        header = f"# Written by `make lock` from {layer}.in: change that file instead.\n"
        (ROOT / f"{layer}.lock").write_text(header + "\n".join(sorted(lines)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
