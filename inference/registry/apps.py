from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RegistryConfig(AppConfig):
    name = "inference.registry"
    label = "registry"
    verbose_name = _("Models")

    def ready(self) -> None:
        from inference.registry import (
            evidence,
            policies,  # noqa: F401  registers the actions
        )
        from inference.registry.artifacts import register_files
        from inference.registry.erasing import register_erasers
        from inference.registry.sweeping import register_sweep

        register_erasers()
        register_files()
        register_sweep()
        evidence.register()
