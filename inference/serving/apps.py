from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "inference.serving"
    label = "serving"
    verbose_name = "Serving"
