from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "governance.tenants"
    label = "tenants"
    verbose_name = "Tenants and people"

    def ready(self) -> None:
        from governance.tenants import checks  # noqa: F401  registers the system checks
