"""Reading transmitters and what they told."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from governance.access.decisions import require
from governance.events.models import ReceivedEvent, Transmitter
from governance.principals import Principal


def transmitters(principal: Principal) -> QuerySet[Transmitter]:
    """The transmitters that row security shows, with the number of their events."""
    require(principal, "events.event.view")
    return Transmitter.objects.select_related("tenant").annotate(event_count=Count("events"))


def events(principal: Principal) -> QuerySet[ReceivedEvent]:
    """The received events that row security shows, the newest first."""
    require(principal, "events.event.view")
    return ReceivedEvent.objects.select_related("transmitter", "user")
