"""`openclaw audit …` hands its options to the right commands."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from openclaw_site.cli import audit


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (["verify"], ["audit_verify"]),
        (["verify", "--tenant", "bank"], ["audit_verify", "--tenant=bank"]),
        (["heads", "--json"], ["audit_heads", "--json"]),
        (["heads", "--all", "--tenant", "bank"], ["audit_heads", "--tenant=bank", "--all"]),
        (
            ["export", "--from", "2026-01-01", "--to", "2026-02-01", "--format", "csv"],
            ["audit_export", "--format=csv", "--from=2026-01-01", "--to=2026-02-01"],
        ),
    ],
)
def test_options_reach_the_command(monkeypatch, typed, asked):
    seen = []
    monkeypatch.setattr(audit, "run_django", lambda *arguments: seen.append(list(arguments)) or 3)
    ran = CliRunner().invoke(audit.audit, typed)
    assert (seen, ran.exit_code) == ([asked], 3)


def test_files_are_passed_on_as_they_are_typed(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(audit, "run_django", lambda *arguments: seen.append(arguments) or 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heads.json").write_text("{}")
    CliRunner().invoke(audit.audit, ["verify", "--against", "heads.json"])
    CliRunner().invoke(audit.audit, ["export", "--output", "log.jsonl"])
    assert seen[0][1] == "--against=heads.json"
    assert "--output=log.jsonl" in seen[1]
    assert CliRunner().invoke(audit.audit, ["verify", "--against", "missing.json"]).exit_code == 2
