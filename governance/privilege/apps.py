from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PrivilegeConfig(AppConfig):
    name = "governance.privilege"
    label = "privilege"
    verbose_name = _("Least privilege")

    def ready(self) -> None:
        from governance.privilege import policies  # noqa: F401  registers its actions
