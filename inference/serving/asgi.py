"""The inference application of the site, wired to the database. Import after Django is set up."""

from __future__ import annotations

import asyncio

from django.conf import settings

from inference.serving.application import InferenceApplication
from inference.serving.input_counts import InputCounts
from inference.serving.key_watch import KeyWatch
from inference.serving.listener import Hearers, Listener
from inference.serving.lookups import CachedLookups, Lookups
from inference.serving.options import ServingOptions
from inference.serving.outcomes import OutcomeLog
from inference.serving.permitting import permit
from inference.serving.pool import ModelPool
from inference.serving.predictions import Limits
from inference.serving.proofs import Proofs
from inference.serving.referrals import Referral
from inference.serving.runtimes import Runtimes
from inference.serving.sources import (
    DatabaseSource,
    keys_destroyed,
    note_refused_token,
    refer,
    write_input_counts,
    write_outcomes,
)


async def put_before_a_person(referral: Referral) -> None:
    """Open the oversight task of one answer, in a thread."""
    await asyncio.to_thread(refer, referral)


def build_application(
    lookups: Lookups | None = None, *, limits: Limits | None = None
) -> InferenceApplication:
    """The application on the site's own database, or on other look-ups."""
    outcomes = OutcomeLog(write_outcomes, inputs=InputCounts(write_input_counts))
    options = ServingOptions.of(settings.OPENCLAW_SERVING)
    pool = ModelPool(
        loader=Runtimes(options), memory_bytes=options.model_memory_bytes, objective_s=options.objective_s
    )
    if lookups is not None:
        return InferenceApplication(lookups, pool=pool, outcomes=outcomes, limits=limits)
    cached = CachedLookups(DatabaseSource())
    keys = KeyWatch(keys_destroyed)
    return InferenceApplication(
        cached,
        pool=pool,
        outcomes=outcomes,
        listener=Listener(Hearers(cached, keys)),
        limits=limits,
        prover=Proofs(note=note_refused_token),
        refer=put_before_a_person,
        permit=permit,
        keys=keys,
    )


application = build_application()
