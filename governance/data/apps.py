from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DataConfig(AppConfig):
    name = "governance.data"
    label = "data"
    verbose_name = _("Data governance")

    def ready(self) -> None:
        from governance.data import policies  # noqa: F401  registers its actions
