from django.apps import AppConfig


class EthicsConfig(AppConfig):
    name = "governance.ethics"
    label = "ethics"
    verbose_name = "Ethics approvals"

    def ready(self) -> None:
        from governance.ethics import policies  # noqa: F401  registers its actions
