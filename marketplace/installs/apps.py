from django.apps import AppConfig


class InstallsConfig(AppConfig):
    name = "marketplace.installs"
    label = "installs"
    verbose_name = "Installations"
