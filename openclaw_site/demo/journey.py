"""The main job from end to end, in the order in which it happens: publish, release, install, predict, watch."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from openclaw_site.demo import partner, release, reviewer
from openclaw_site.demo.clients import Person
from openclaw_site.demo.people import BOTH_SIDES, PARTNER_USER, PEOPLE
from openclaw_site.demo.plugins import DIGITS, TRIAGE, disguise_pickle, write_digits, write_triage
from openclaw_site.demo.steps import Report, Step
from openclaw_site.demo.world import World, run_here

QUESTION = "Which figure should a user of the form reader look at before trusting a single answer?"
ANSWER = "The probability: below 80 % a person looks. The skill says so in its answer (needs_a_person)."


class Cast(ExitStack):
    """Everybody who signed in; their sessions end with the demo."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self._people: dict[str, Person] = {}

    def __getitem__(self, username: str) -> Person:
        if username not in self._people:
            self._people[username] = self.enter_context(self.world.person(username))
        return self._people[username]


class Publishing:
    """From the partner's sign-up to a plugin that anybody can fetch and verify."""

    def __init__(self, world: World, report: Report, cast: Cast) -> None:
        self.world, self.report, self.cast = world, report, cast
        self.first_run = False
        self.client: dict[str, str] = {}
        self.archives: dict[str, Path] = {}
        self.submissions: dict[str, str] = {}

    @cached_property
    def partner(self) -> Person:
        """The partner's own session."""
        return self.cast[PARTNER_USER]

    def play(self) -> None:
        """Every step up to the signed repository."""
        with self.report.step("Accounts: one per role") as step:
            self.accounts(step)
        with self.report.step("The partner makes a plugin and uploads it; the checks run live") as step:
            self.upload_first(step)
        with self.report.step("A pickle that calls itself ONNX is refused") as step:
            self.upload_hostile(step)
        with self.report.step(
            "The reviewer claims, looks, asks and approves; nobody reviews their own work"
        ) as step:
            self.review(step)
            self.own_work(step)
        with self.report.step("A high-risk purpose: two reviewers and the ethics officer") as step:
            self.high_risk(step)
        with self.report.step("Release: signed, published, fetched with the stock TUF client") as step:
            self.fetch(step)

    def accounts(self, step: Step) -> None:
        """One person per role; the partner signs up on the site's own page."""
        self.world.read_accounts()
        for username, _tenant, role in PEOPLE:
            me = self.cast[username].get("/api/v1/me/")
            step.expect(
                role in me["roles"], f"{username} signs in: {', '.join(me['roles'])}", seen=me["roles"]
            )
        if self.first_run:
            partner.join(step, self.world)
            run_here("-m", "django", "seed_demo")
        me = self.partner.get("/api/v1/me/")
        step.expect("partner" in me["roles"], f"{PARTNER_USER} signs in: partner", seen=me["roles"])
        self.client = partner.make_client(step, self.partner)

    def upload_first(self, step: Step) -> None:
        """Train, make, pack, upload, watch."""
        seconds = self.world.train()
        small, better = (self.world.figures["digits"][name] for name in ("digits-small", "digits-better"))
        step.saw(
            f"trained in {seconds:.0f} s: digits {small['parameters']:,} parameters ({small['accuracy']:.1%}) and "
            f"{better['parameters']:,} ({better['accuracy']:.1%}), tumour triage "
            f"({self.world.figures['triage']['accuracy']:.1%})"
        )
        self._make_digits(step, "digits-small", self.world.versions[0])
        submission = self._upload(step, "digits-small")
        step.expect(
            submission["state"] == "waiting_for_review",
            f"state: {submission['state_label']}; turn: {submission['whose_turn']}. {submission['next_step']}",
            seen=submission["state"],
        )

    def upload_hostile(self, step: Step) -> None:
        """The same plugin, with a pickle where its model should be."""

        def write(folder: Path) -> None:
            model = self.world.trained("digits-small")
            write_digits(folder, version=self.world.versions[0], author="Acme Vision", model=model)
            disguise_pickle(folder, version=f"0.0.{self.world.number}")

        folder = self.world.folder / "plugins" / "hostile"
        self.archives["hostile"] = partner.make_plugin(step, folder, name=DIGITS, write=write, valid=False)
        partner.refused(step, self._upload(step, "hostile"))

    def review(self, step: Step) -> None:
        """Claim, files and differences, a question and its answer, the verdict."""
        submission_id, person = self.submissions["digits-small"], self.cast["reviewer"]
        reviewer.claim_and_look(step, person, submission_id)
        reviewer.ask(step, person, submission_id, QUESTION)
        partner.answer(step, self.partner, submission_id, ANSWER)
        reviewer.approve(step, person, submission_id, "The card is honest, the skill asks for nothing.")
        partner.wait_for_state(self.partner, submission_id, "published")
        step.saw("the site signs, publishes and verifies it: published")
        partner.timeline(step, self.partner, submission_id)

    def own_work(self, step: Step) -> None:
        """Somebody who is a reviewer and a partner uploads, and then wants to review it."""
        person = self.cast[BOTH_SIDES]
        house = person.get("/api/v1/me/")["tenant_id"]
        person.work_in(self.partner.get("/api/v1/me/")["tenant_id"])
        folder = self.world.folder / "plugins" / "word-counter"

        def write(folder: Path) -> None:
            manifest = json.loads((folder / "plugin.json").read_text("utf-8"))
            manifest["version"] = f"0.{self.world.number}.0"
            (folder / "plugin.json").write_text(json.dumps(manifest), "utf-8")

        archive = partner.make_plugin(step, folder, name="word-counter", write=write)
        with archive.open("rb") as file:
            made = person.call("POST", "/api/v1/submissions/", files={"file": (archive.name, file)})
        partner.wait_for_state(person, made["id"], "waiting_for_review")
        person.work_in(house)
        reviewer.cannot_decide_own(step, person, made["id"])
        self.partner.post(f"/api/v1/submissions/{made['id']}/withdraw/", {"reason": "Shown in the demo."})

    def high_risk(self, step: Step) -> None:
        """Two reviewers and an ethics approval of exactly these bytes."""

        def write(folder: Path) -> None:
            model = self.world.trained("triage")
            write_triage(folder, version=self.world.versions[0], author="Acme Vision", model=model)

        folder = self.world.folder / "plugins" / "triage"
        self.archives["triage"] = partner.make_plugin(step, folder, name=TRIAGE, write=write)
        submission = self._upload(step, "triage")
        step.expect(submission["needs_ethics"], f"risk {submission['risk_level']}: {submission['next_step']}")
        submission_id = submission["id"]
        reviewer.answer_questionnaire(step, self.partner, submission_id, evaluation=self.world.evaluation())
        first, second = self.cast["reviewer"], self.cast["second-reviewer"]
        reviewer.claim_and_look(step, first, submission_id)
        reason = "A person decides about every sample, and the card says what it misses."
        reviewer.approve(step, first, submission_id, reason)
        reviewer.cannot_decide_twice(step, first, submission_id)
        reviewer.claim_and_look(step, second, submission_id)
        reviewer.approve(
            step, second, submission_id, "Agreed; the evaluation is small, and the card says so."
        )
        reviewer.approve_ethics(step, self.cast["ethics-officer"], submission_id)
        partner.wait_for_state(self.partner, submission_id, "published")
        step.saw("published")

    def publish_better(self, step: Step) -> None:
        """The better digits model as the next version, by the command that waits; reviewed on its difference."""
        self._make_digits(step, "digits-better", self.world.versions[1])
        submission_id = self._upload(step, "digits-better")["id"]
        reviewer.claim_and_look(step, self.cast["second-reviewer"], submission_id)
        reviewer.approve(
            step,
            self.cast["second-reviewer"],
            submission_id,
            "Only the model, its card and the number changed.",
        )
        followed = run_here(
            "-m", "openclaw_site.cli", "plugin", "status", submission_id, "--wait", "--timeout", "90",
            environment=self.client,
        )  # fmt: skip
        step.saw("openclaw plugin status --wait: " + followed.stdout.strip().splitlines()[-1])

    def fetch(self, step: Step) -> None:
        """Both plugins, as any client of the repository gets them."""
        version = self.world.versions[0]
        for plugin, archive in ((DIGITS, "digits-small"), (TRIAGE, "triage")):
            found = self._published(plugin, version)
            sha256 = hashlib.sha256(self.archives[archive].read_bytes()).hexdigest()
            release.fetch(step, self.world, found["target_path"], sha256=sha256)
        release.refuse_tampered(step, self.world, found["target_path"])

    def _published(self, plugin: str, version: str) -> dict[str, Any]:
        return self.cast["tenant-admin"].rows(
            "/api/v1/plugin-versions/", plugin__slug=plugin, version=version
        )[0]

    def _make_digits(self, step: Step, name: str, version: str) -> None:
        def write(folder: Path) -> None:
            write_digits(folder, version=version, author="Acme Vision", model=self.world.trained(name))

        folder = self.world.folder / "plugins" / name
        self.archives[name] = partner.make_plugin(step, folder, name=DIGITS, write=write)

    def _upload(self, step: Step, name: str) -> dict[str, Any]:
        self.submissions[name] = partner.upload(step, self.archives[name], self.client)
        return partner.watch_checks(step, self.partner, self.submissions[name])
