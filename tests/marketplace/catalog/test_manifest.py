"""plugin.json and SKILL.md: what is refused, in which words, and how risk is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.findings import Finding
from marketplace.catalog.manifest import ManifestError, parse_manifest, read_manifest
from marketplace.catalog.risk import HIGH_RISK_PURPOSES, RiskLevel
from marketplace.catalog.skillmd import SkillError, parse_skill
from tests.factories.packages import MANIFEST, files_with, manifest, write_folder

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def refusal(data: bytes) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(data)
    return [finding.text() for finding in caught.value.findings]


def changed(change: Change) -> bytes:
    document = manifest()
    change(document, document["extensions"]["dev.openclaw"])
    return json.dumps(document).encode()


def test_a_good_manifest_is_read_whole() -> None:
    parsed = parse_manifest(json.dumps(MANIFEST).encode())
    assert (parsed.name, parsed.version, parsed.license) == ("digits-reader", "1.0.0", "Apache-2.0")
    assert parsed.models[0].inputs[0].shape == (-1, 4)
    assert parsed.skills[0].script == "skills/double/scripts/skill.py"
    assert parsed.skills[0].function == "run"
    assert parsed.permissions.grants() == ()
    assert parsed.permissions.as_json() == MANIFEST["extensions"]["dev.openclaw"]["permissions"]
    assert parsed.notes == ()


def test_unknown_keys_are_reported_and_ignored() -> None:
    parsed = parse_manifest(changed(lambda d, x: d.update(icon="x.png")))
    assert [note.text() for note in parsed.notes] == [
        "“icon” is not a key of the manifest and is ignored. Put your own data under “extensions”."
    ]
    assert "icon" not in parsed.raw


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d, x: d.update({"$schema": "https://example.com/x"}),
            "“$schema” must be exactly “https://agent-plugins.org/schemas/1.0.0/plugin.schema.json”.",
        ),
        (
            lambda d, x: d.update(name="Digits--reader"),
            "“name” must have 1 to 64 lower-case letters, digits, dots or hyphens, begin and end with a letter or "
            "digit, and have no two dots or hyphens in a row.",
        ),
        (lambda d, x: d.pop("license"), "“license” is missing. Add it."),
        (
            lambda d, x: d.update(version="1.0"),
            "“version” must be a semantic version such as 1.0.0, not “1.0”.",
        ),
        (
            lambda d, x: d.update(version="01.0.0"),
            "“version” must be a semantic version such as 1.0.0, not “01.0.0”.",
        ),
        (lambda d, x: d.update(description=""), "“description” must be a text of 1 to 1024 characters."),
        (
            lambda d, x: d.update(homepage="javascript:x"),
            "“homepage” must be a web address beginning with https://.",
        ),
        (
            lambda d, x: d.update(author="me"),
            "“author” must be an object with “name” and, if you like, “email” and “url”.",
        ),
        (
            lambda d, x: d.update(license="My own"),
            "“My own” is not an SPDX licence expression. Use an identifier from spdx.org/licenses such as Apache-2.0, "
            "or LicenseRef-NAME together with a LICENSE file.",
        ),
        (
            lambda d, x: d.update(extensions={}),
            "“extensions” has no “dev.openclaw”. Add it: it says what the plugin holds and asks for.",
        ),
        (
            lambda d, x: d["extensions"].update(nodots={}),
            "“extensions” may only hold objects under reverse domain names, not “nodots”.",
        ),
        (
            lambda d, x: x["models"][0].update(artifact="../../etc/passwd"),
            "“scorer.artifact” must be a plain path inside the plugin's folder, not “../../etc/passwd”.",
        ),
        (
            lambda d, x: x["models"][0]["inputs"][0].update(datatype="FLOAT"),
            "“dev.openclaw.models[0].inputs[0].datatype” is not as the schema wants it: 'FLOAT' is not one of "
            "['BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'FP16', 'FP32', "
            "'FP64', 'BYTES'].",
        ),
        (
            lambda d, x: x["skills"].append(x["skills"][0]),
            "“skills” has the name “double” twice. Give each its own name.",
        ),
        (
            lambda d, x: x["skills"][0].update(entrypoint="scripts/skill.py:run"),
            "The entry point of “double” must look like skills/double/scripts/skill.py:run.",
        ),
        (
            lambda d, x: x["skills"][0].update(input_schema={"type": "nothing"}),
            "“input_schema” of “double” is not a valid JSON Schema (2020-12): 'nothing' is not valid under any of the "
            "given schemas.",
        ),
        (
            lambda d, x: x["skills"][0].update(input_schema={"$ref": "https://example.com/schema"}),
            "“input_schema” of “double” refers to “https://example.com/schema”, which is not in it. Put all of it in "
            "plugin.json.",
        ),
        (
            lambda d, x: x["skills"][0].update(input_schema={"pattern": "^(a+)+$"}),
            "“input_schema” of “double” has a pattern that may take forever. Write a simpler one.",
        ),
        (
            lambda d, x: x["permissions"]["network"].update(allow=["api.example.com:99999"]),
            "“api.example.com:99999” has no valid port.",
        ),
        (
            lambda d, x: [x.pop("models"), x.pop("skills")],
            "“dev.openclaw” names neither a model nor a skill. Add “models” or “skills”.",
        ),
    ],
)
def test_what_is_refused(change: Change, message: str) -> None:
    assert refusal(changed(change)) == [message]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "plugin.json is not valid JSON: line 1, column 1: Expecting value."),
        (b"\xff", "plugin.json is not valid JSON: byte 0 is not UTF-8."),
        (b"[]", "plugin.json must be a JSON object."),
        (b'{"name": "a", "name": "b"}', "plugin.json is not valid JSON: the key 'name' is given twice."),
        (b'{"a": NaN}', "plugin.json is not valid JSON: NaN is not a JSON value."),
        (b"[" * 50_000, "plugin.json is not valid JSON: it is nested too deeply."),
        (
            b'{"a": "\\u0000"}',
            "plugin.json is not valid JSON: a text has a control character or half of a surrogate pair.",
        ),
        (b" " * (257 << 10), "plugin.json is larger than 256 KiB. Make it shorter."),
    ],
)
def test_what_is_not_json(data: bytes, message: str) -> None:
    assert refusal(data) == [message]


def test_files_that_the_manifest_names_must_be_there(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, files_with({"models/CARD.md": None}))
    with pytest.raises(ManifestError) as caught:
        read_manifest(folder)
    assert str(caught.value) == (
        "“models/CARD.md” is named in plugin.json but not in the package. Add it or correct the path."
    )
    (folder / "plugin.json").unlink()
    with pytest.raises(ManifestError, match=r"There is no plugin.json at the top of the archive"):
        read_manifest(folder)


@pytest.mark.parametrize("purpose", sorted(HIGH_RISK_PURPOSES))
def test_high_risk_purposes_are_high(purpose: str) -> None:
    risk = parse_manifest(json.dumps(manifest(purpose=purpose)).encode()).risk()
    assert risk.level == RiskLevel.HIGH and risk.high_risk_purpose
    assert str(risk.reasons[0]) == (
        f"Its purpose, {purpose}, is high-risk under the EU AI Act and needs an ethics approval."
    )


@pytest.mark.parametrize(
    ("hosts", "secrets", "labels", "level"),
    [
        ([], [], ["internal"], "low"),
        (["api.example.com"], [], ["internal"], "medium"),
        ([], ["API_KEY"], [], "medium"),
        ([], [], ["personal"], "medium"),
        (["api.example.com"], ["API_KEY"], [], "high"),
        (["*.example.com"], [], [], "high"),
        ([], [], ["health"], "high"),
    ],
)
def test_risk_follows_what_is_asked_for(
    hosts: list[str], secrets: list[str], labels: list[str], level: str
) -> None:
    asked = {"network": {"allow": hosts}, "files": {"read": [], "write": []}, "secrets": secrets, "tools": []}
    risk = parse_manifest(json.dumps(manifest(permissions=asked, data_labels=labels)).encode()).risk()
    assert risk.level == level and risk.reasons and not risk.high_risk_purpose


def test_findings_survive_json() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(changed(lambda d, x: d.update(version="x")))
    finding = caught.value.findings[0]
    assert Finding.from_json(json.loads(json.dumps(finding.as_json()))) == finding
    assert finding.text({finding.message: "Version %(version)s?"}.get) == "Version x?"  # type: ignore[arg-type]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(data)
    assert all(finding.text() for finding in caught.value.findings)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [prefix] if prefix else []
    for key, item in items:
        found += paths(item, (*prefix, key))
    return found


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(paths(MANIFEST)), json_values)
def test_any_part_may_be_wrong(path: tuple[Any, ...], value: Any) -> None:
    document = manifest()
    owner: Any = document
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    try:
        parsed = parse_manifest(json.dumps(document).encode())
    except ManifestError as error:
        assert all(finding.text() for finding in error.findings)
    else:
        assert parsed.risk().reasons


SKILL = (
    "---\nname: double\ndescription: Doubles a number.\nmetadata:\n  com.example.version: 1.0\n---\nBody\n"
)


def test_a_good_skill_is_read_as_text() -> None:
    document = parse_skill(SKILL.encode(), folder="double")
    assert document.metadata == {"com.example.version": "1.0"}
    assert (document.body, document.body_line) == ("Body\n", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Body", "SKILL.md must begin with YAML front matter between two lines of “---”."),
        ("---\nname: double\n---\n", "“description” is missing in the front matter. Add it."),
        ("---\nname: other\ndescription: x\n---\n", "“name” must be the name of the folder, “double”."),
        (
            "---\nname: Double\ndescription: x\n---\n",
            "“name” may have lower-case letters, digits and single hyphens between them.",
        ),
        (
            "---\nname: double\ndescription: x\nversion: 1\n---\n",
            "“version” is not a key of Agent Skills. Move it below “metadata” or remove it.",
        ),
        (
            "---\nname: double\ndescription: x\nmetadata:\n  a: {b: c}\n---\n",
            "“metadata” must be a list of “key: value” lines with texts only.",
        ),
        (
            "---\na: &x [1]\nb: *x\n---\n",
            "The front matter of SKILL.md is not plain YAML: anchors and aliases are not allowed.",
        ),
        (
            "---\nname: !!python/name:os.system\n---\n",
            "The front matter of SKILL.md is not plain YAML: tags are not allowed.",
        ),
        (
            "---\nname: a\nname: b\n---\n",
            "The front matter of SKILL.md is not plain YAML: a key is given twice.",
        ),
    ],
)
def test_what_a_skill_may_not_say(text: str, message: str) -> None:
    with pytest.raises(SkillError) as caught:
        parse_skill(text.encode(), folder="double")
    assert [finding.text() for finding in caught.value.findings] == [message]


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=300))
def test_any_front_matter_is_read_or_refused(text: str) -> None:
    try:
        parse_skill(f"---\n{text}\n---\n".encode(), folder="double")
    except SkillError as error:
        assert all(finding.text() for finding in error.findings)
