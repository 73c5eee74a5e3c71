from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CapabilitiesConfig(AppConfig):
    name = "inference.capabilities"
    label = "capabilities"
    verbose_name = _("Base capabilities")

    def ready(self) -> None:
        from inference.capabilities import policies  # noqa: F401  registers the actions
