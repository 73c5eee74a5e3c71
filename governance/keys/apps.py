from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class KeysConfig(AppConfig):
    name = "governance.keys"
    label = "keys"
    verbose_name = _("Keys")

    def ready(self) -> None:
        from governance.audit import signing
        from governance.keys import checks, policies, providers  # noqa: F401  registers checks and actions

        signing.register(providers.signer, keys_of=providers.public_keys)
