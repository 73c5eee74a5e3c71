from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EventsConfig(AppConfig):
    name = "governance.events"
    label = "events"
    verbose_name = _("Security events")

    def ready(self) -> None:
        from governance.events import policies  # noqa: F401  registers its actions
