"""What every step of the demo knows: the site, the accounts, this run's models and its version numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openclaw_site.config import CHECKOUT, Config, process_environment
from openclaw_site.demo.clients import Person
from openclaw_site.demo.people import ACCOUNTS_FILE
from openclaw_site.demo.plugins import Trained
from openclaw_site.demo.steps import StepFailed

FIGURES = "figures.json"  # written last by `openclaw_site.demo.models`, so that its presence means complete


@dataclass
class World:
    """One run of the demo. `number` counts the runs that this site has seen, from 1."""

    config: Config
    number: int = 1
    accounts: dict[str, dict[str, str]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the site answers."""
        return self.config.public_url

    @property
    def folder(self) -> Path:
        """Where this run's models, plugins and downloads lie."""
        return self.config.var / "demo" / f"run-{self.number}"

    @property
    def versions(self) -> tuple[str, str]:
        """This run's two version numbers of each plugin: every run publishes new ones, as a partner would."""
        return f"1.{2 * self.number - 2}.0", f"1.{2 * self.number - 1}.0"

    def read_accounts(self) -> None:
        """Read the accounts that `seed_demo` has written."""
        text = self.config.secrets.path(ACCOUNTS_FILE).read_text(encoding="utf-8")
        self.accounts = {account["username"]: account for account in json.loads(text)["accounts"]}

    def person(self, username: str) -> Person:
        """Sign somebody in."""
        return Person(self.url, username=username, password=self.accounts[username]["password"])

    def trained(self, name: str) -> Trained:
        """A model of this run with its figures: `digits-small`, `digits-better` or `triage`."""
        group = self.figures["triage" if name == "triage" else "digits"]
        return Trained(self.folder / f"{name}.onnx", {**group, **group.get(name, {})})

    def evaluation(self) -> dict[str, Any]:
        """How the triage model does in each group, as evidence for the ethics office."""
        text = (self.folder / "triage-evaluation.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def unseen(self, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Rows that training never saw, and the truth about them: of `digits` or `triage`."""
        with np.load(self.folder / f"{name}-unseen.npz", allow_pickle=False) as data:
            return data["inputs"], data["labels"]

    def train(self) -> float:
        """Train this run's models in a process of their own, unless they lie there; returns the seconds it took."""
        done = self.folder / FIGURES
        if not done.exists():
            run_here("-m", "openclaw_site.demo.models", str(self.folder), "--seed", str(self.number))
        self.figures = json.loads(done.read_text(encoding="utf-8"))
        return float(self.figures["seconds"])


def run_here(
    *arguments: str, good: tuple[int, ...] = (0,), environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with `arguments` as a person in a terminal would; raises StepFailed with what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=process_environment(keep_secrets=True, **(environment or {})),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in good:
        said = (done.stdout + done.stderr).strip()
        raise StepFailed(f"{' '.join(arguments[:4])} ended with {done.returncode}:\n{said[-2000:]}")
    return done
