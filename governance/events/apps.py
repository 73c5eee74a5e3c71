from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EventsConfig(AppConfig):
    name = "governance.events"
    label = "events"
    verbose_name = _("Security events")

    def ready(self) -> None:
        from governance.data import people
        from governance.events import policies  # noqa: F401  registers its actions
        from governance.events.models import ReceivedEvent

        people.pseudonymise(ReceivedEvent, "user", instead={"subject": people.ERASED})
