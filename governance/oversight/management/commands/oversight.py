"""`openclaw oversight …`: stop buttons, the queue and its rules, at the machine itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.terminal import acting_as, add_person
from governance.errors import DomainError
from governance.oversight import ruling, selectors, services, tasking, withholding
from governance.oversight.models import OversightRule, OversightTask, Stop
from governance.oversight.stops import TYPES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

KINDS = {scope.value: type_ for type_, scope in TYPES.items()}
# What a person does with one task, and which further words it takes.
STEPS: dict[str, tuple[Callable[..., OversightTask], tuple[str, ...]]] = {
    "claim": (tasking.claim_task, ()),
    "give-back": (tasking.return_task, ()),
    "decide": (tasking.decide_task, ("answer", "reason")),
    "appeal": (tasking.appeal, ("reason",)),
    "withdraw": (tasking.withdraw_task, ("reason",)),
}


class Command(BaseCommand):
    """Anybody at the machine may press a button and look; what a person decides asks for that person's password."""

    help = "Stop buttons, decisions that wait for a person, and the rules that send them there."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        press = commands.add_parser("stop", help="press a stop button")
        press.add_argument("scope", choices=Stop.Scope.values)
        press.add_argument("--tenant", help="the tenant's short name; not for the platform")
        press.add_argument("--id", default="", help="the endpoint's or skill's id")
        press.add_argument("--reason", required=True)
        for name in ("stops", "queue", "rules"):
            commands.add_parser(name).add_argument("--json", action="store_true")
        release = commands.add_parser("ask-release", help="the first of two people says why it may go on")
        release.add_argument("stop", type=UUID)
        release.add_argument("--reason", required=True)
        add_person(release)
        second = commands.add_parser(
            "release", help="the second one releases it; it answers again within a second"
        )
        second.add_argument("stop", type=UUID)
        add_person(second)
        for name, (_step, words) in STEPS.items():
            step = commands.add_parser(name)
            step.add_argument("task", type=UUID)
            for word in words:
                step.add_argument(f"--{word}", required=True)
            add_person(step)
        look = commands.add_parser("look", help="what a task withholds until somebody confirms it")
        look.add_argument("task", type=UUID)
        add_person(look)
        contest = commands.add_parser("contest", help="put a decision of a machine before a person")
        contest.add_argument("--decision", required=True, help="the request id of the machine's answer")
        contest.add_argument("--reason", required=True)
        rule = commands.add_parser("rule", help="set the rule of an endpoint or a skill")
        rule.add_argument("--question", required=True)
        rule.add_argument("--option", action="append", default=[], help="a possible answer; once for each")
        rule.add_argument("--confidence-below", type=float)
        rule.add_argument("--output", default="")
        rule.add_argument(
            "--withhold", action="store_true", help="give such an answer only once it is confirmed"
        )
        rule.add_argument("--minutes", type=int, default=240)
        for about in (contest, rule):
            about.add_argument("kind", choices=sorted(KINDS))
            about.add_argument("id", type=UUID)
            about.add_argument("--label", default="")
            add_person(about)
        remove = commands.add_parser("remove-rule")
        remove.add_argument("rule", type=UUID)
        add_person(remove)

    def handle(self, *args: Any, **options: Any) -> None:
        what = options["what"].replace("-", "_")
        try:
            if "user" in options:
                with acting_as(options["user"], options["tenant"]) as principal:
                    if options["what"] in STEPS:
                        self._step(principal, options)
                    else:
                        getattr(self, what)(principal, options)
                return
            with platform_scope(), transaction.atomic():
                getattr(self, what)(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    # --- Anybody at the machine --------------------------------------------------------------------------------------

    def stop(self, options: dict[str, Any]) -> None:
        """Press one."""
        tenant = Tenant.objects.filter(slug=options["tenant"]).first() if options["tenant"] else None
        if options["scope"] != Stop.Scope.PLATFORM and tenant is None:
            raise CommandError("Say whose it is: --tenant with the tenant's short name.")
        stop = services.press_stop(
            principal=SYSTEM,
            scope=options["scope"],
            reason=options["reason"],
            target=ObjectRef(KINDS.get(options["scope"], ""), options["id"], label=options["id"]),
            tenant_id=tenant.id if tenant else None,
        )
        self.stdout.write(f"{stop}: stopped. Two people release it: ask-release, then release.")

    def stops(self, options: dict[str, Any]) -> None:
        """What is stopped."""
        rows = [
            {
                "id": str(row.id),
                "tenant": row.tenant.slug,
                "scope": row.scope,
                "target": row.target_label or row.target_id,
                "state": row.state,
                "reason": row.reason,
            }
            for row in selectors.stops_in_force()
        ]
        self._say(options, rows, "Nothing is stopped.")

    def queue(self, options: dict[str, Any]) -> None:
        """What waits for a person."""
        rows = [
            {
                "id": str(row.id),
                "tenant": row.tenant.slug,
                "question": row.question,
                "answers": " | ".join(row.options),
                "from": row.subject_label or row.subject_id,
                "cause": row.cause,
                "due": row.due_at.isoformat(timespec="minutes"),
                "escalated": row.escalated_at.isoformat(timespec="minutes") if row.escalated_at else "",
            }
            for row in selectors.queue()[:200]
        ]
        self._say(options, rows, "Nothing waits for a person.")

    def rules(self, options: dict[str, Any]) -> None:
        """Which answers go to a person by themselves."""
        rows = [
            {
                "id": str(row.id),
                "tenant": row.tenant.slug,
                "of": row.target_label or row.target_id,
                "question": row.question,
                "confidence_below": row.confidence_below,
                "withhold": row.withhold,
                "minutes": row.due_minutes,
            }
            for row in OversightRule.objects.select_related("tenant").order_by("tenant__slug", "target_label")
        ]
        self._say(options, rows, "There is no oversight rule.")

    # --- A person who gives their password ---------------------------------------------------------------------------

    def _step(self, principal: Principal, options: dict[str, Any]) -> None:
        step, words = STEPS[options["what"]]
        said = {word: options[word] for word in words}
        task = step(principal=principal, task_id=options["task"], **said)
        self.stdout.write(f"{task.id}  {task.get_state_display()}")

    def look(self, principal: Principal, options: dict[str, Any]) -> None:
        """The withheld answer, as far as it can be read."""
        content = withholding.look_at(principal=principal, task_id=options["task"])
        self.stdout.write(content.shown(withholding.MAX_BYTES) if content else "It withholds nothing.")

    def ask_release(self, principal: Principal, options: dict[str, Any]) -> None:
        """The first of two."""
        services.ask_release(principal=principal, stop_id=options["stop"], reason=options["reason"])
        self.stdout.write("Asked. Somebody else releases it: openclaw oversight release.")

    def release(self, principal: Principal, options: dict[str, Any]) -> None:
        """The second."""
        stop = services.release_stop(principal=principal, stop_id=options["stop"])
        self.stdout.write(f"{stop}: released.")

    def contest(self, principal: Principal, options: dict[str, Any]) -> None:
        """Contest one decision."""
        task = tasking.contest(
            principal=principal,
            subject=ObjectRef(KINDS[options["kind"]], str(options["id"]), label=options["label"]),
            decision_id=options["decision"],
            reason=options["reason"],
        )
        self.stdout.write(f"{task.id}  {task.get_state_display()}")

    def rule(self, principal: Principal, options: dict[str, Any]) -> None:
        """Set one."""
        assert principal.tenant_id is not None
        saved = ruling.save_rule(
            principal=principal,
            target=ObjectRef(KINDS[options["kind"]], str(options["id"]), label=options["label"]),
            tenant_id=principal.tenant_id,
            question=options["question"],
            options=options["option"],
            confidence_below=options["confidence_below"],
            output=options["output"],
            due_minutes=options["minutes"],
            withhold=options["withhold"],
        )
        self.stdout.write(f"{saved.id}  {saved.question}")

    def remove_rule(self, principal: Principal, options: dict[str, Any]) -> None:
        """Remove one."""
        ruling.remove_rule(principal=principal, rule_id=options["rule"])
        self.stdout.write("Removed.")

    def _say(self, options: dict[str, Any], rows: list[dict[str, Any]], nothing: str) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=1))
            return
        for row in rows:
            self.stdout.write("  ".join(str(value) for value in row.values() if value))
        if not rows:
            self.stdout.write(nothing)
