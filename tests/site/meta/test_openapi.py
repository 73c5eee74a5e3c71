"""The OpenAPI document: valid, complete, and equal to the one that integrators were given."""

from __future__ import annotations

import subprocess
import sys

from tests.site.meta.product import CHECKOUT


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the checkout, with this run's settings."""
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


def test_every_endpoint_is_described_and_the_document_is_valid(tmp_path):
    file = str(tmp_path / "openapi.yaml")
    ran = python("-m", "django", "spectacular", "--validate", "--fail-on-warn", "--file", file)
    assert ran.returncode == 0, ran.stderr


def test_the_api_is_the_one_in_the_snapshot():
    ran = python("scripts/api_snapshot.py", "--check")
    assert ran.returncode == 0, ran.stdout + ran.stderr
