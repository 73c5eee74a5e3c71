from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PoliciesConfig(AppConfig):
    name = "governance.policies"
    label = "policies"
    verbose_name = _("Policies")

    def ready(self) -> None:
        from governance.access.cedar import source
        from governance.access.recorder import recorder
        from governance.data import people
        from governance.policies import actions  # noqa: F401  registers its actions
        from governance.policies.models import DecisionRecord
        from governance.policies.records import keep
        from governance.policies.source import policies

        people.pseudonymise(
            DecisionRecord,
            "principal_id",
            instead={"principal_label": people.ERASED, "account_id": None, "request": {}},
        )
        people.pseudonymise(DecisionRecord, "account_id", instead={"request": {}})
        source.register(policies)
        recorder.subscribe(keep)
