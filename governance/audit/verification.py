"""Recomputing a chain from end to end, in batches, against its hashes, its signed heads and heads kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from securesystemslib.signer import Key

from governance.audit import signing
from governance.audit.chain import GENESIS, cut_statement, entry_hash, head_statement, moment
from governance.audit.findings import ChainReport, Kind
from governance.audit.heads import KeptHead
from governance.audit.holding import CLOCK_STEP
from governance.audit.models import AuditEntry, AuditHead, ChainCut, Signed, SignedHead
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

BATCH = 1_000
# How far away the former number of a renumbered entry is looked for.
NEAR = 50

Progress = Callable[[int], None]


def verify(
    *, tenant: str = "", kept: Mapping[UUID, Sequence[KeptHead]] | None = None
) -> Iterator[ChainReport]:
    """Verify every chain, or that of the tenant with this short name; `kept` are heads that were exported before.

    Runs in platform scope; memory is bounded by one batch of entries.
    """
    with platform_scope():
        rows = Tenant.objects.order_by("slug")
        with transaction.atomic():
            chosen = list((rows.filter(slug=tenant) if tenant else rows).values_list("id", "slug"))
        for tenant_id, slug in chosen:
            yield verify_chain(tenant_id, slug, kept=(kept or {}).get(tenant_id, ()))


def verify_chain(
    tenant_id: UUID,
    slug: str = "",
    *,
    kept: Iterable[KeptHead] = (),
    until: int | None = None,
    progress: Progress | None = None,
) -> ChainReport:
    """Verify one chain, to its end or to entry `until`. `progress` is told how many entries were read.

    Each batch is a transaction of its own, so that a long chain holds up nobody.
    """
    walk = _Walk(ChainReport(tenant_id, slug), kept)
    with transaction.atomic():
        walk.start()
    head: AuditHead | None = None
    head_read = False
    while True:
        with transaction.atomic():
            batch = walk.next_batch(until)
            for entry in batch:
                walk.step(entry)
            if not batch and (head_read or until is not None):
                break
            # Read after the last entries and before the batch that is found empty: whoever writes meanwhile only
            # makes that batch not empty.
            head = None if batch else AuditHead.objects.filter(tenant_id=tenant_id).first()
            head_read = not batch
        if progress is not None:
            progress(walk.report.entries)
    if until is None:
        with transaction.atomic():
            walk.end(head)
    return walk.report


class _Walk:
    """The place that has been reached in one chain, and what was noticed on the way."""

    def __init__(self, report: ChainReport, kept: Iterable[KeptHead]) -> None:
        self.report = report
        self.tenant_id = report.tenant_id
        self.kept = {head.sequence: head for head in kept}
        self.keys: dict[str, dict[str, Key]] = {}
        self.last = 0  # number of the last entry
        self.last_id: UUID | None = None
        self.last_at: datetime | None = None
        self.previous = GENESIS  # its hash
        self.before = ""  # the hash of the entry before it
        self.shift = 0  # by how much the last entry had been renumbered
        self.fits = 0  # the last entry that a signature or a kept head agrees with
        self.rewritten = False
        self.signed: dict[int, SignedHead] = {}

    def start(self) -> None:
        """Begin after what retention has removed."""
        through = 0
        for cut in ChainCut.objects.filter(tenant_id=self.tenant_id).order_by("through").iterator():
            if not self._signature_holds(cut, cut_statement(cut)):
                self.report.add(Kind.SIGNATURE, cut.through, "forged-cut", at=moment(cut.at))
            if cut.removed != cut.through - through:
                self.report.add(Kind.REMOVED, cut.through, "cut-chain")
            through = cut.through
            self.last, self.previous, self.last_at = through, cut.last_hash, cut.last_at
        self.report.cut_through = self.fits = self.report.signed_through = through
        if through:
            early = AuditEntry.objects.filter(tenant_id=self.tenant_id, sequence__lte=through)
            for entry in early.order_by("sequence")[:BATCH]:
                self.report.add(Kind.INSERTED, entry.sequence, "still-there")

    def next_batch(self, until: int | None) -> list[AuditEntry]:
        """The next entries with the signed heads among them; the same number twice is seen even across batches."""
        rows = AuditEntry.objects.filter(tenant_id=self.tenant_id, sequence__gte=self.last)
        if self.last_id is None:
            rows = rows.exclude(sequence=self.last)
        else:
            rows = rows.exclude(sequence=self.last, id__lte=self.last_id)
        if until is not None:
            rows = rows.filter(sequence__lte=until)
        batch = list(rows.order_by("sequence", "id")[:BATCH])
        if batch:
            heads = SignedHead.objects.filter(
                tenant_id=self.tenant_id, sequence__gt=self.last, sequence__lte=batch[-1].sequence
            )
            self.signed = {head.sequence: head for head in heads}
        return batch

    def step(self, entry: AuditEntry) -> None:
        """Compare one entry with the one before it, with itself, and with what was signed."""
        self.report.entries += 1
        self.last_id = entry.id
        if entry.sequence == self.last:
            self.report.add(Kind.INSERTED, entry.sequence, "twice", id=str(entry.id))
            return
        shift = _renumbered_by(entry)
        gap = self._gap_before(entry)
        linked = entry.previous_hash == self.previous
        # Two entries that follow the same one: the one that is not as it was written was put there.
        inserted = not linked and not gap and not self.shift and entry.previous_hash == self.before
        if inserted and shift is None:
            self.report.add(Kind.INSERTED, entry.sequence, "put-between")
            self.last, self.shift = entry.sequence, -1
            return
        if inserted:
            self.report.add(Kind.INSERTED, entry.sequence - 1, "put-between")
            self.shift = shift or 0
        if shift is None:
            self.report.add(Kind.CHANGED, entry.sequence, "changed")
        elif shift and shift != self.shift:
            self.report.add(Kind.REORDERED, entry.sequence, "moved", written=entry.sequence + shift)
        elif not (shift or linked or gap or inserted or self.shift):
            self.report.add(Kind.CHANGED, self.last, "replaced", next=entry.sequence)
        if self.last_at is not None and entry.at < self.last_at - CLOCK_STEP:
            self.report.clock_set_back.append(entry.sequence)
        self.shift = shift or 0
        self.before, self.previous = self.previous, entry.entry_hash
        self.last, self.last_at = entry.sequence, entry.at
        self._compare_signed(entry)

    def end(self, head: AuditHead | None) -> None:
        """Compare the end with the head, and look for signed heads beyond it."""
        end = (head.sequence, head.entry_hash or GENESIS) if head else (0, GENESIS)
        if end[0] != self.last:
            self.report.add(Kind.HEAD, self.last, "head", head=end[0])
        elif end[1] != self.previous:
            self.report.add(Kind.HEAD, self.last, "head-hash")
        beyond = SignedHead.objects.filter(tenant_id=self.tenant_id, sequence__gt=self.last)
        if gone := beyond.order_by("-sequence").first():
            code = "cut-off" if self._check_signature(gone) else "forged-head"
            kind = Kind.REMOVED if code == "cut-off" else Kind.SIGNATURE
            entry = self.last + 1 if code == "cut-off" else gone.sequence
            self.report.add(kind, entry, code, until=gone.sequence, at=moment(gone.at))
        kept = max((number for number in self.kept if number > self.last), default=0)
        if kept:
            self.report.add(Kind.REMOVED, self.last + 1, "kept-head-gone", until=kept)

    def _gap_before(self, entry: AuditEntry) -> bool:
        expected = self.last + 1
        if entry.sequence == expected:
            return False
        # Retention may have cut the chain since this walk began; then it goes on after the cut.
        cut = ChainCut.objects.filter(tenant_id=self.tenant_id, through=entry.sequence - 1).first()
        if cut is not None and self._signature_holds(cut, cut_statement(cut)):
            self.report.cut_through, self.previous = cut.through, cut.last_hash
            return entry.previous_hash != cut.last_hash
        code = "one-missing" if entry.sequence == expected + 1 else "gap"
        self.report.add(Kind.REMOVED, expected, code, until=entry.sequence - 1)
        return True

    def _compare_signed(self, entry: AuditEntry) -> None:
        if kept := self.kept.get(entry.sequence):
            if kept.entry_hash != entry.entry_hash:
                self.report.add(Kind.SIGNATURE, self.fits + 1, "kept-head", until=entry.sequence)
            elif not kept.signature_holds(self._keys(kept.seal.key_name)):
                self.report.add(Kind.SIGNATURE, entry.sequence, "kept-head-forged")
        head = self.signed.get(entry.sequence)
        if head is None:
            return
        if not self._check_signature(head):
            self.report.add(Kind.SIGNATURE, head.sequence, "forged-head", at=moment(head.at))
        elif head.entry_hash == entry.entry_hash:
            self.fits = self.report.signed_through = entry.sequence
            self.rewritten = False
        elif not self.rewritten:
            # Every later head disagrees as well; the first one says where it began.
            self.rewritten = True
            self.report.add(
                Kind.SIGNATURE, self.fits + 1, "rewritten", until=head.sequence, at=moment(head.at)
            )

    def _check_signature(self, head: SignedHead) -> bool:
        statement = head_statement(
            tenant_id=head.tenant_id, sequence=head.sequence, entry_hash=head.entry_hash, at=head.at
        )
        return self._signature_holds(head, statement)

    def _signature_holds(self, row: Signed, statement: bytes) -> bool:
        # A row may name any key; only this tenant's own counts.
        if row.key_name != signing.key_name(self.tenant_id):
            return False
        seal = signing.Seal(row.key_name, row.key_id, row.algorithm, row.signature)
        return signing.holds(seal, statement, keys=self._keys(row.key_name))

    def _keys(self, name: str) -> dict[str, Key]:
        if name not in self.keys:
            self.keys[name] = signing.public_keys(name)
        return self.keys[name]


def _renumbered_by(entry: AuditEntry) -> int | None:
    """0 when the entry is as it was written; else what to add to its number to get the written one; None: changed."""
    if entry.entry_hash == entry_hash(entry):
        return 0
    for distance in range(1, NEAR + 1):
        for shift in (-distance, distance):
            if entry.entry_hash == entry_hash(entry, sequence=entry.sequence + shift):
                return shift
    return None
