from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IdentityConfig(AppConfig):
    name = "governance.identity"
    label = "identity"
    verbose_name = _("Sign-in and identity")

    def ready(self) -> None:
        from governance.identity import (
            policies,  # noqa: F401  registers its actions
            receivers,  # noqa: F401  listens for sign-ins
        )
        from governance.identity.models import IdentityProvider
        from governance.identity.services.providers import PURPOSE
        from governance.keys import rewriting

        rewriting.register(
            rewriting.ColumnCollection(
                "identity.providers",
                IdentityProvider,
                "sealed_secret",
                PURPOSE,
                lambda row, _field: str(row.pk),
            )
        )
