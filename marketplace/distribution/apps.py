from django.apps import AppConfig


class DistributionConfig(AppConfig):
    name = "marketplace.distribution"
    label = "distribution"
    verbose_name = "Distribution"

    def ready(self) -> None:
        from marketplace.distribution import policies  # noqa: F401  registers its actions
