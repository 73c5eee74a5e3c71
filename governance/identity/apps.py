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
