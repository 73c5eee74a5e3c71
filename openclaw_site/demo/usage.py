"""What happens with a published plugin: installed, served, measured, rolled back, and watched."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import Any

from openclaw_site.demo import batch, developer, operator, rollout, tenant
from openclaw_site.demo.clients import Person, Program
from openclaw_site.demo.journey import Cast, Publishing
from openclaw_site.demo.plugins import DIGITS, SKILL, TRIAGE
from openclaw_site.demo.steps import Report, Step, StepFailed
from openclaw_site.demo.world import World

MODEL, TRIAGE_MODEL = "digits-cnn", "tumour-triage"  # each gets an endpoint of its name when it is installed
CANARY_PERCENT = 10
PAGES = ("/console/", "/console/endpoints/")


class Usage:
    """From the catalogue to measured traffic in the tenant."""

    def __init__(self, world: World, report: Report, cast: Cast, publishing: Publishing) -> None:
        self.world, self.report, self.cast, self.publishing = world, report, cast, publishing
        self.endpoints: dict[str, str] = {}
        self.open = ExitStack()

    @cached_property
    def admin(self) -> Person:
        """The tenant's administrator."""
        return self.cast["tenant-admin"]

    @cached_property
    def program(self) -> Program:
        """The developer's application, which may call what the administrator granted it."""
        made = tenant.make_client(endpoints=self.endpoints, skill=SKILL, admin=self.admin)
        program = Program(
            self.world.url,
            label=tenant.CLIENT,
            client_id=made["client_id"],
            client_secret=made["client_secret"],
        )
        return self.open.enter_context(program)

    def play(self) -> None:
        """Every step in the tenant."""
        with self.open:
            with self.report.step("The tenant's administrator installs, grants, and gets endpoints") as step:
                self.install(step)
            with self.report.step("The developer predicts: the stock tritonclient, and REST") as step:
                self.predict(step)
            with self.report.step(
                "A better version: published, upgraded, a canary of 10 %, rolled back"
            ) as step:
                self.canary(step)
            with self.report.step("A fault in a new version: rolled back without a person") as step:
                self.fault(step)
            with self.report.step("A batch over a file, and a killed worker") as step:
                self.program.authorise("batch:write")
                version = self.world.versions[1]
                watcher = self.cast["developer"]
                batch.play(step, self.world, self.program, watcher, endpoint=MODEL, version=version)
            with self.report.step("The plugin's skill, in its sandbox, over REST") as step:
                self.call_skill(step)
            with self.report.step("A revoked token is refused within a second") as step:
                self.program.authorise("models:infer")
                images, _truth = self.world.unseen("digits")
                developer.revoke(step, self.program, MODEL, "image", images[0])
            with self.report.step("The house: health, metrics, audit log, both languages") as step:
                self.watch(step)

    def install(self, step: Step) -> None:
        """Both plugins, with exactly what they ask for."""
        version = self.world.versions[0]
        for plugin, model in ((DIGITS, MODEL), (TRIAGE, TRIAGE_MODEL)):
            tenant.install(step, self.admin, plugin, version)
            endpoint = tenant.endpoint_for(step, self.admin, name=model, model=model, version=version)
            self.endpoints[model] = endpoint["id"]
        step.saw(
            f"a client for the developer (scopes {', '.join(tenant.CLIENT_SCOPES)}) that may call "
            f"{', '.join(self.endpoints)} and {SKILL}, and nothing else: {self.program.client_id}"
        )

    def predict(self, step: Step) -> None:
        """Refusals first, then every unseen row of both models."""
        developer.refused_without_scope(step, MODEL, self.program)
        with developer.triton(self.world.url, self.program.authorise("models:infer")) as caller:
            developer.describe(step, caller, MODEL)
            for name, model, given in (("digits", MODEL, "image"), ("triage", TRIAGE_MODEL, "measurements")):
                rows, truth = self.world.unseen(name)
                figures = self.world.trained("digits-small" if name == "digits" else name).figures
                developer.measure(step, caller, model, given, rows, truth, expected=figures["accuracy"])
        images, truth = self.world.unseen("digits")
        answer = self._rest(images[:3].tolist())
        digits = [max(range(10), key=row["probabilities"].__getitem__) for row in answer["predictions"]]
        step.saw(f"REST: POST /api/v1/endpoints/{MODEL}/predict: {digits}, the truth is {truth[:3].tolist()}")

    def canary(self, step: Step) -> None:
        """Ten percent to the better version, seen in the answers; back with one call; then all of it."""
        old, new = self.world.versions
        self.publishing.publish_better(step)
        tenant.install(step, self.admin, DIGITS, new)
        endpoint_id = self.endpoints[MODEL]
        images, truth = self.world.unseen("digits")
        weights = {old: 100 - CANARY_PERCENT, new: CANARY_PERCENT}
        with developer.triton(self.world.url, self.program.authorise("models:infer")) as caller:
            tenant.set_split(step, self.admin, endpoint_id, weights, reason="Canary")
            developer.measure_split(step, caller, MODEL, "image", images, weights=weights)
            figures = self.world.trained("digits-better").figures
            developer.measure(
                step, caller, MODEL, "image", images, truth, expected=figures["accuracy"], version=new
            )
            tenant.roll_back(step, self.admin, endpoint_id, expected={old: 100})
            developer.measure_split(step, caller, MODEL, "image", images, weights={old: 100})
            # The end of the demo: the better version takes over, and the old one stays for comparison.
            weights = {new: 100 - CANARY_PERCENT, old: CANARY_PERCENT}
            tenant.set_split(step, self.admin, endpoint_id, weights, reason="Better on unseen images")
            developer.measure_split(step, caller, MODEL, "image", images, weights=weights)

    def fault(self, step: Step) -> None:
        """A rollout of a version whose file is damaged; afterwards the traffic is as it was."""
        old, new = self.world.versions
        self.program.authorise("models:infer")
        images, _truth = self.world.unseen("digits")
        tensor = {"name": "image", "datatype": "FP32", "shape": [1, *images[0].shape]}
        rollout.play(
            step,
            self.world,
            self.admin,
            self.program,
            endpoint={"id": self.endpoints[MODEL], "model": MODEL},
            good=new,
            faulty=old,
            body={"inputs": [tensor | {"data": images[0].ravel().tolist()}]},
        )
        weights = {new: 100 - CANARY_PERCENT, old: CANARY_PERCENT}
        tenant.set_split(step, self.admin, self.endpoints[MODEL], weights, reason="As before the rollout")

    def call_skill(self, step: Step) -> None:
        """Predict one image, and let the skill put the answer into words."""
        self.program.authorise("models:infer", "skills:invoke")
        images, truth = self.world.unseen("digits")
        answer = self._rest([images[0].tolist()], version=self.world.versions[1])
        probabilities = answer["predictions"][0]["probabilities"]
        answer = self.program.post(
            f"/api/v1/skills/{SKILL}/invoke", {"input": {"probabilities": probabilities}}
        )
        step.expect(
            answer["output"]["digit"] == int(truth[0]),
            f"{SKILL} {answer['version']}: “{answer['output']['sentence']}” ({answer['wall_s'] * 1000:.0f} ms in a "
            "process of its own)",
            seen=answer["output"],
        )
        wrong = self.program.send("POST", f"/api/v1/skills/{SKILL}/invoke", json={"input": {"pixels": []}})
        step.expect(
            wrong.status_code == 400, "an input that does not fit its schema: 400", seen=wrong.status_code
        )

    def watch(self, step: Step) -> None:
        """What an operator, an auditor and everybody else sees."""
        operator.health(step, self.world.url)
        operator.metrics(step, self.world.url, self.world.config.metrics_token, endpoint=MODEL)
        endpoint = self.admin.get(f"/api/v1/endpoints/{self.endpoints[MODEL]}/", params={"window_s": "600"})
        for row in (row for row in endpoint["metrics"] if row["version"] in self.world.versions):
            step.note(
                f"{MODEL} {row['version']}: {row['requests']} requests, {row['error_percent']:.1f} % errors, "
                f"p50 {_ms(row['p50_ms'])}, p99 {_ms(row['p99_ms'])}"
            )
        operator.audit(step, self.cast["auditor"])
        for path in PAGES:
            operator.languages(step, self.admin, path=path)

    def _rest(self, rows: list[Any], *, version: str = "") -> dict[str, Any]:
        body = {"rows": [{"image": row} for row in rows], "version": version}
        answer: dict[str, Any] = self.program.post(f"/api/v1/endpoints/{MODEL}/predict", body)
        if len(answer["predictions"]) != len(rows):
            raise StepFailed(f"{len(rows)} rows sent, {len(answer['predictions'])} answered")
        return answer


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"
