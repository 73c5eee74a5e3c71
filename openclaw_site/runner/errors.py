"""What stops the runner, told so that a person can act on it."""

from __future__ import annotations


class RunnerError(Exception):
    """Something keeps the site from starting: `message` says what happened, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}".strip()


class Interrupted(Exception):
    """A person asked the runner to stop while it was still starting."""
