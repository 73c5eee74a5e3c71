"""What the demo prints and when it calls a run good."""

from __future__ import annotations

import io

import httpx
import pytest
from rich.console import Console

from openclaw_site.demo.clients import told, wait_for
from openclaw_site.demo.steps import Report, StepFailed


@pytest.fixture
def report() -> Report:
    return Report(Console(file=io.StringIO(), width=200))


def printed(report: Report) -> str:
    file = report.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_run_without_steps_did_not_hold(report: Report) -> None:
    assert not report.held


def test_a_step_that_holds_says_what_it_saw(report: Report) -> None:
    with report.step("Sums") as step:
        step.expect(1 + 1 == 2, "one and one [are] two")
    assert report.held
    assert "✓ one and one [are] two" in printed(report)


def test_one_failed_step_fails_the_run_and_says_why(report: Report) -> None:
    with report.step("Sums") as step:
        step.saw("fine")
    with pytest.raises(StepFailed), report.step("More sums") as step:
        step.expect(False, "one and one are three", seen=2)
    assert not report.held
    assert "✗ expected: one and one are three; seen: 2" in printed(report)
    report.summary()
    assert "✗  2 More sums" in printed(report)


def test_refusals_are_told_in_the_sites_own_words() -> None:
    problem = {"title": "Conflict", "detail": "It is taken.", "hint": "Choose another."}
    assert told(httpx.Response(409, json=problem)) == "It is taken. Choose another."
    assert (
        told(httpx.Response(400, json={"detail": "No.", "errors": [{"detail": "Too long."}]}))
        == "No. Too long."
    )
    assert told(httpx.Response(400, json={"error": "bad tensor"})) == "bad tensor"
    assert told(httpx.Response(502, text="<html>\n  bad gateway</html>")) == "<html> bad gateway</html>"


def test_waiting_ends_with_an_answer_or_in_time() -> None:
    answers = iter([None, None, 7])
    assert wait_for("seven", lambda: next(answers), every_s=0) == 7
    with pytest.raises(StepFailed, match="never did not happen"):
        wait_for("never", lambda: None, timeout_s=0.01, every_s=0)
