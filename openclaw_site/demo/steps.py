"""How the demo tells what it does: a numbered step, each thing it saw, and whether the step held."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape


class StepFailed(Exception):
    """Something that had to hold did not; the message says what was expected and what was seen."""


@dataclass
class Step:
    """One step under way."""

    number: int
    title: str
    console: Console
    seconds: float = 0.0
    held: bool = False

    def saw(self, text: str) -> None:
        """Print one thing that held."""
        self.console.print(f"   [green]✓[/green] {escape(text)}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Print something worth reading that proves nothing by itself."""
        self.console.print(f"     [dim]{escape(text)}[/dim]", soft_wrap=True)

    def expect(self, holds: bool, text: str, *, seen: object = "") -> None:
        """Print `text` when it holds, else end the step with it and with what was `seen` instead."""
        if not holds:
            raise StepFailed(f"expected: {text}" + (f"; seen: {seen}" if seen != "" else ""))
        self.saw(text)


@dataclass
class Report:
    """Every step of one run, in order."""

    console: Console
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step under its heading. What it raises is shown, marks it as failed, and is raised again."""
        step = Step(number=len(self.steps) + 1, title=title, console=self.console)
        self.steps.append(step)
        self.console.print(f"\n[bold cyan]{step.number:>2}[/bold cyan] [bold]{escape(title)}[/bold]")
        started = time.monotonic()
        try:
            yield step
            step.held = True
        except BaseException as error:
            message = str(error) or type(error).__name__
            self.console.print(f"   [bold red]✗[/bold red] {escape(message)}", soft_wrap=True)
            raise
        finally:
            step.seconds = time.monotonic() - started

    @property
    def held(self) -> bool:
        """Whether every step that was begun held."""
        return bool(self.steps) and all(step.held for step in self.steps)

    def summary(self) -> None:
        """Print the steps in one line each, with their seconds."""
        self.console.print()
        for step in self.steps:
            mark = "[green]✓[/green]" if step.held else "[bold red]✗[/bold red]"
            self.console.print(
                f" {mark} {step.number:>2} {escape(step.title)} [dim]{step.seconds:.1f} s[/dim]",
                soft_wrap=True,
            )
