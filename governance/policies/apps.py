from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PoliciesConfig(AppConfig):
    name = "governance.policies"
    label = "policies"
    verbose_name = _("Policies")

    def ready(self) -> None:
        from governance.policies import actions  # noqa: F401  registers its actions
