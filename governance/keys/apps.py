from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "governance.keys"
    label = "keys"
    verbose_name = "Keys"
