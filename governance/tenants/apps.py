from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "governance.tenants"
    label = "tenants"
    verbose_name = _("Tenants and people")

    def ready(self) -> None:
        from governance.tenants import checks  # noqa: F401  registers the system checks
