from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    name = "inference.rollouts"
    label = "rollouts"
    verbose_name = "Endpoints and traffic"
