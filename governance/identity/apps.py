from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IdentityConfig(AppConfig):
    name = "governance.identity"
    label = "identity"
    verbose_name = _("Sign-in and identity")

    def ready(self) -> None:
        from governance.access import leaving, standing
        from governance.identity import (
            policies,  # noqa: F401  registers its actions
            receivers,  # noqa: F401  listens for sign-ins
        )
        from governance.identity.care import usable_until
        from governance.identity.erasing import register_erasers
        from governance.identity.models import IdentityProvider
        from governance.identity.resealing import SecondFactors
        from governance.identity.services import sessions
        from governance.identity.services.providers import PURPOSE
        from governance.keys import rewriting

        standing.register_session_end(usable_until)
        leaving.on_disabled(sessions.end_with_account)
        rewriting.register(SecondFactors())
        register_erasers()
        rewriting.register(
            rewriting.ColumnCollection(
                "identity.providers",
                IdentityProvider,
                "sealed_secret",
                PURPOSE,
                lambda row, _field: str(row.pk),
            )
        )
