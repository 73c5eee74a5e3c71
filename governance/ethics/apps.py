from django.apps import AppConfig


class EthicsConfig(AppConfig):
    name = "governance.ethics"
    label = "ethics"
    verbose_name = "Ethics reviews"
