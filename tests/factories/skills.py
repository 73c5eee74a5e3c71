"""Skills for tests: small plugins written to disk and registered."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

if TYPE_CHECKING:
    from skills.library.models import SkillVersion

DOUBLE = "def run(payload):\n    return {'double': 2 * payload['n']}\n"
INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
OUTPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"double": {"type": "integer"}},
    "required": ["double"],
}


def make_skill(
    principal: Principal,
    *,
    name: str = "double",
    version: str = "1.0.0",
    code: str = DOUBLE,
    **overrides: Any,
) -> SkillVersion:
    """A registered, active version of a skill in the principal's tenant."""
    from skills.library.services import register_skill_version

    assert principal.tenant_id is not None
    with TemporaryDirectory() as folder, tenant_context(principal.tenant_id):
        script = Path(folder) / "skills" / name / "scripts" / "skill.py"
        script.parent.mkdir(parents=True)
        script.write_text(code)
        values: dict[str, Any] = {
            "entrypoint": f"skills/{name}/scripts/skill.py:run",
            "input_schema": INPUT_SCHEMA,
            "output_schema": OUTPUT_SCHEMA,
            "timeout_s": 5,
            "memory_mb": 128,
            "permissions": {"network": {"allow": []}},
            "source": ObjectRef(type="tests.source", id="1", digest="0" * 64, label="test"),
        }
        return register_skill_version(
            principal=principal, skill_name=name, version=version, bundle=Path(folder), **values | overrides
        )
