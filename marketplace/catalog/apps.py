from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "marketplace.catalog"
    label = "catalog"
    verbose_name = "Catalogue"

    def ready(self) -> None:
        from marketplace.catalog import policies  # noqa: F401  registers its actions
