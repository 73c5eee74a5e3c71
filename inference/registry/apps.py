from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "inference.registry"
    label = "registry"
    verbose_name = "Models"
