from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "inference.registry"
    label = "registry"
    verbose_name = "Models"

    def ready(self) -> None:
        from inference.registry import policies  # noqa: F401  registers the actions
