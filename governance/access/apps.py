from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "governance.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        from governance.access import policies, schema  # noqa: F401  register actions and the API's security scheme
