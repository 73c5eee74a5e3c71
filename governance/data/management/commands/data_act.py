"""`openclaw data act …`: what only people do: loosen what holds data back, confirm an erasure by hand, bring a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.access.terminal import acting_as, add_person
from governance.data import datasets, erasing, loosening
from governance.data.labels import LABELS
from governance.errors import DomainError
from governance.principals import Principal

PIECE = 1 << 20


class Command(BaseCommand):
    """Each step asks for the password of the person who takes it; nobody decides on a request of their own."""

    help = (
        "Ask to loosen what holds an asset back, decide on it, confirm an erasure by hand, upload a dataset."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        loosen = commands.add_parser(
            "loosen", help="ask; somebody else decides, and nothing changes until then"
        )
        loosen.add_argument("asset", type=UUID)
        loosen.add_argument("--label", choices=LABELS)
        about = loosen.add_mutually_exclusive_group()
        about.add_argument("--subject", action="append", help="a subject that stays; once for each")
        about.add_argument("--no-subject", action="store_true", help="it is about nobody any more")
        loosen.add_argument("--region", help="an empty one: it may lie anywhere")
        loosen.add_argument("--purpose", help="an empty one: for any purpose")
        loosen.add_argument("--retention-days", type=int, help="0: kept without an end")
        decide = commands.add_parser("decide", help="approve somebody else's request, or refuse it")
        decide.add_argument("request", type=UUID, help="an id that `openclaw data requests` lists")
        decide.add_argument("verdict", choices=["approve", "refuse"])
        confirm = commands.add_parser("confirm-place", help="say that you erased what the house could not")
        confirm.add_argument("erasure", type=UUID)
        confirm.add_argument("place", type=UUID, help="an id that `openclaw data erasures ERASURE` lists")
        confirm.add_argument("--note", required=True, help="what was done; it stands on the receipt")
        upload = commands.add_parser("upload", help="keep a file as a dataset, sealed with the tenant's key")
        upload.add_argument("name")
        upload.add_argument("file", type=Path)
        upload.add_argument("--label", choices=LABELS, default="internal")
        upload.add_argument("--subject", action="append", default=[])
        upload.add_argument("--purpose", default="")
        upload.add_argument("--region", default="")
        upload.add_argument("--retention-days", type=int)
        for step in (loosen, decide):
            step.add_argument("--reason", required=True)
        for step in commands.choices.values():
            add_person(step)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(options["user"], options["tenant"]) as principal:
                getattr(self, options["what"].replace("-", "_"))(principal, options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def loosen(self, principal: Principal, options: dict[str, Any]) -> None:
        """The first of two people."""
        wish = loosening.request_declassification(
            principal=principal,
            asset_id=options["asset"],
            reason=options["reason"],
            label=options["label"],
            subjects=() if options["no_subject"] else options["subject"],
            region=options["region"],
            purpose=options["purpose"],
            retention_days=options["retention_days"],
        )
        self.stdout.write(f"Asked for. Somebody else decides: openclaw data act decide {wish.id} approve")

    def decide(self, principal: Principal, options: dict[str, Any]) -> None:
        """The second one."""
        wish = loosening.decide_declassification(
            principal=principal,
            request_id=options["request"],
            approve=options["verdict"] == "approve",
            reason=options["reason"],
        )
        self.stdout.write(f"{wish.id}  {wish.get_state_display()}")

    def confirm_place(self, principal: Principal, options: dict[str, Any]) -> None:
        """Note who erased a place by hand, and how."""
        erasure = erasing.confirm_place(
            principal=principal,
            erasure_id=options["erasure"],
            place_id=options["place"],
            note=options["note"],
        )
        self.stdout.write(f"{erasure.id}  {erasure.get_state_display()}")

    def upload(self, principal: Principal, options: dict[str, Any]) -> None:
        """Keep a file."""
        path = options["file"]
        try:
            made = datasets.upload_dataset(
                principal=principal,
                name=options["name"],
                filename=path.name,
                chunks=_pieces(path),
                label=options["label"],
                subjects=options["subject"],
                purpose=options["purpose"],
                region=options["region"],
                retention_days=options["retention_days"],
            )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        self.stdout.write(f"Kept; its asset is {made.asset_id}.")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
