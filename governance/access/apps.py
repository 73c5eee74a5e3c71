from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccessConfig(AppConfig):
    name = "governance.access"
    label = "access"
    verbose_name = _("Access")

    def ready(self) -> None:
        from governance.access import audit_gate

        audit_gate.connect()
        from governance.access import policies, schema, signals  # noqa: F401  register actions, schemes, receivers
        from governance.access.causes import DecisionJudge
        from governance.tenants import checkpoints

        checkpoints.register(DecisionJudge())
