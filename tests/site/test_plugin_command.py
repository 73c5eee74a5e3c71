"""`openclaw plugin` as a partner runs it: in its own process state, without settings, services or a database."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from openclaw_site.cli import plugin as module
from openclaw_site.cli.plugin import plugin
from tests.factories.packages import files_with, write_folder, write_zip


def openclaw(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(plugin, [str(argument) for argument in arguments], env=env)


def test_a_new_plugin_is_valid_and_packs_the_same_twice(tmp_path: Path) -> None:
    folder = tmp_path / "my-reader"
    made = openclaw("init", folder, "--author", "Acme")
    assert made.exit_code == 0 and "openclaw plugin validate" in made.output
    checked = openclaw("validate", folder, "--dry-run")
    assert checked.exit_code == 0, checked.output
    assert "Ready to pack. A reviewer will look at what is marked." in checked.output
    assert "✓ Model dry run  Every model loads, has the declared signature and answers." in checked.output
    first = openclaw("pack", folder, "-o", tmp_path)
    second = openclaw("pack", folder, "-o", tmp_path / "again.zip")
    assert (tmp_path / "my-reader-0.1.0.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    assert first.output.splitlines()[-1] == second.output.splitlines()[-1]
    assert json.loads((folder / "plugin.json").read_text())["author"] == {"name": "Acme"}
    again = openclaw("init", folder)
    assert again.exit_code == 1 and "is not empty. Choose a new folder." in again.output


def test_init_wants_a_name_that_can_be_one(tmp_path: Path) -> None:
    assert openclaw("init").exit_code == 2
    refused = openclaw("init", tmp_path / "x", "--name", "Not--good")
    assert refused.exit_code == 2 and "cannot be a plugin's name" in refused.output


def test_validate_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bad.zip", files_with({"models/model.onnx": b"\x80\x04K\x01."}))
    result = openclaw("validate", archive)
    assert result.exit_code == 1
    assert "✗ models/model.onnx  “models/model.onnx” is a Python pickle" in result.output
    assert "Not ready: 1 of 7 checks refuse it." in result.output
    outcomes = {item["name"]: item for item in json.loads(openclaw("validate", archive, "--json").output)}
    assert outcomes["artifact-format"]["findings"][0]["code"] == "artifact.pickle"
    assert outcomes["secrets"]["status"] == "PASSED"


def test_markup_in_a_file_name_is_only_text(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "p", files_with({"[red]x[/red].pem": "-----BEGIN PRIVATE " + "KEY-----"})
    )
    assert "[red]x[/red].pem:1" in openclaw("validate", folder).output


def test_pack_refuses_a_plugin_without_a_manifest(tmp_path: Path) -> None:
    result = openclaw("pack", write_folder(tmp_path / "p", {"a": b"1"}), "-o", tmp_path)
    assert result.exit_code == 1 and "There is no plugin.json at the top of the archive." in result.output
    assert not list(tmp_path.glob("*.zip"))


def test_validate_needs_no_settings_and_loads_no_model_library(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "p", files_with({}))
    code = (
        "import sys\nfrom openclaw_site.cli.plugin import plugin\n"
        f"try:\n    plugin(['validate', {str(folder)!r}])\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "loaded = [n for n in ('django', 'onnx', 'onnxruntime', 'numpy', 'psycopg', 'celery') if n in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={}, cwd=Path.cwd(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class Site(BaseHTTPRequestHandler):
    """Answers as the token endpoint and the submissions of the REST API do; the journey tests use the real ones."""

    states: ClassVar[list[dict[str, Any]]] = []
    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), body))
        if self.path == "/o/token/":
            good = self.headers["Authorization"] == "Basic aWQ6c2VjcmV0"
            self.answer(
                200 if good else 401, {"access_token": "t0k"} if good else {"error": "invalid_client"}
            )
        elif b"taken.zip" in body:
            problem = {"title": "Conflict", "detail": "This version exists.", "hint": "Raise the version."}
            self.answer(409, problem)
        else:
            self.answer(
                201, {"id": "s-1", "state": "checking", "whose_turn": "platform", "next_step": "Checks run."}
            )

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers), b""))
        self.answer(200, self.states.pop(0) if len(self.states) > 1 else self.states[0])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    Site.states, Site.seen = [], []
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield {
        "OPENCLAW_URL": f"http://127.0.0.1:{server.server_port}",
        "OPENCLAW_CLIENT_ID": "id",
        "OPENCLAW_CLIENT_SECRET": "secret",
    }
    server.shutdown()
    server.server_close()
    thread.join()


def submission(state: str, turn: str, events: int, check: str) -> dict[str, Any]:
    return {
        "id": "s-1",
        "state": state,
        "whose_turn": turn,
        "next_step": f"Next after {state}.",
        "timeline": [
            {
                "at": f"2026-01-01T00:00:0{n}Z",
                "text": f"Step {n}",
                "actor": "Ada",
                "message": "What Ada wrote",
            }
            for n in range(events)
        ],
        "checks": [{"name": "secrets", "title": "Secrets", "status": check, "message": "m", "findings": []}],
    }


@pytest.mark.parametrize(
    ("state", "turn", "exit_code"),
    [("published", "", 0), ("rejected", "publisher", 1), ("withdrawn", "", 1), ("waiting", "publisher", 2)],
)
def test_an_upload_is_followed_to_its_end(
    site: dict[str, str], tmp_path: Path, state: str, turn: str, exit_code: int
) -> None:
    Site.states = [
        submission("checking", "platform", 1, "RUNNING"),
        submission("checking", "platform", 2, "PASSED"),
        submission(state, turn, 3, "PASSED"),
    ]
    answers = tmp_path / "answers.json"
    answers.write_text('{"scope": "pilot"}')
    archive = write_zip(tmp_path / "p.zip", files_with({}))
    result = openclaw("upload", archive, "--questionnaire", answers, "--wait", env=site)
    assert result.exit_code == exit_code, result.output
    assert [result.output.count(f"Step {n}") for n in range(3)] == [1, 1, 1]
    assert result.output.count("✓ Secrets") == 1 and f"Next after {state}." in result.output
    path, headers, body = Site.seen[1]
    assert path == "/api/v1/submissions/" and headers["Authorization"] == "Bearer t0k"
    assert headers["Idempotency-Key"] in result.output and b'name="file"; filename="p.zip"' in body
    assert (
        b'name="questionnaire"' in body
        and b'{"scope": "pilot"}' in body
        and "What Ada wrote" in result.output
    )


def test_refusals_are_sentences(site: dict[str, str], tmp_path: Path) -> None:
    taken = openclaw("upload", write_zip(tmp_path / "taken.zip", files_with({})), env=site)
    assert taken.exit_code == 1 and "This version exists.\nRaise the version." in taken.output
    wrong = openclaw("status", "s-1", env={**site, "OPENCLAW_CLIENT_SECRET": "other"})
    assert wrong.exit_code == 1 and "does not accept this client id and secret" in wrong.output
    plain = openclaw("status", "s-1", env={**site, "OPENCLAW_URL": "http://openclaw.example.com"})
    assert plain.exit_code == 1 and "A secret is not sent without encryption." in plain.output
    nobody = openclaw("status", "s-1", env={**site, "OPENCLAW_URL": "http://127.0.0.1:9"})
    assert nobody.exit_code == 1 and "No site answers at http://127.0.0.1:9." in nobody.output


def test_status_and_time_out(site: dict[str, str]) -> None:
    Site.states = [submission("in_review", "reviewer", 1, "PASSED")]
    shown = openclaw("status", "s-1", env=site)
    assert "State: in_review · turn: reviewer" in shown.output and "Next after in_review." in shown.output
    assert json.loads(openclaw("status", "s-1", "--json", env=site).output)["state"] == "in_review"
    assert openclaw("status", "s-1", "--wait", "--timeout", "0.05", env=site).exit_code == 3


def test_a_hostile_archive_is_not_sent(site: dict[str, str], tmp_path: Path) -> None:
    result = openclaw("upload", write_zip(tmp_path / "p.zip", files_with({"../x": b""})), env=site)
    assert result.exit_code == 1 and "points outside the plugin's folder" in result.output and Site.seen == []
