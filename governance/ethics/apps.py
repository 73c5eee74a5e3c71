from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EthicsConfig(AppConfig):
    name = "governance.ethics"
    label = "ethics"
    verbose_name = _("Ethics approvals")

    def ready(self) -> None:
        from governance.ethics import enforcing, policies  # noqa: F401  registers its actions

        enforcing.register()
