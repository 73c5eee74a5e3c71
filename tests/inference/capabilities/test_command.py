"""`openclaw capabilities` and the Python client: what they send and say. The site's side is in `test_using`."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from inference.capabilities.catalogue import capabilities as catalogue
from openclaw_site.cli.capabilities import capabilities

PICTURE = b"\x89PNG\r\n\x1a\nwhatever"


class Site(BaseHTTPRequestHandler):
    """Gives a token, and an answer per text or picture: what was sent."""

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/o/token/":
            return self._answer(200, {"access_token": "token"})
        if self.path != "/api/v1/capabilities/sentiment/" or self.headers["Authorization"] != "Bearer token":
            return self._answer(404, {"detail": "There is no base capability."})
        given = json.loads(raw)
        return self._answer(200, {"answers": [{"got": item} for items in given.values() for item in items]})

    def _answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing: the test's output is the command's."""


@pytest.fixture
def environment():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "OPENCLAW_URL": f"http://127.0.0.1:{server.server_port}",
        "OPENCLAW_CLIENT_ID": "client",
        "OPENCLAW_CLIENT_SECRET": "secret",
    }
    server.shutdown()
    server.server_close()


def run(*arguments, env=None, given=""):
    return CliRunner().invoke(capabilities, [str(argument) for argument in arguments], env=env, input=given)


def test_all_are_listed_with_their_figures():
    listed = run("list")
    assert listed.exit_code == 0
    for found in catalogue().values():
        assert found.headline in listed.output


def test_texts_and_standard_input(environment):
    done = run("use", "sentiment", "很好", "-", env=environment, given="from a file")
    assert [json.loads(line) for line in done.output.splitlines()] == [
        {"got": "很好"},
        {"got": "from a file"},
    ]


def test_a_picture_is_sent_as_base64(environment, tmp_path):
    path = tmp_path / "shoe.PNG"
    path.write_bytes(PICTURE)
    done = run("use", "sentiment", path, env=environment)
    assert json.loads(done.output) == {"got": base64.b64encode(PICTURE).decode()}


def test_obstacles_are_sentences(environment, tmp_path):
    refused = run("use", "nothing", "text", env=environment)
    assert (refused.exit_code, refused.output) == (1, "Error: There is no base capability.\n")
    away = run("use", "sentiment", "text", env=environment | {"OPENCLAW_URL": "http://127.0.0.1:9"})
    assert away.exit_code == 1
    assert away.output.startswith("Error: ")
    unread = run("use", "sentiment", tmp_path / "none.png", env=environment)
    assert unread.exit_code == 2
    assert "cannot be read" in unread.output
    path = tmp_path / "shoe.png"
    path.write_bytes(PICTURE)
    both = run("use", "sentiment", "text", path, env=environment)
    assert both.exit_code == 2
    assert "not both" in both.output
    assert run("use", "sentiment", "text").exit_code == 2  # nobody said who asks
