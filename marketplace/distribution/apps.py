from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DistributionConfig(AppConfig):
    name = "marketplace.distribution"
    label = "distribution"
    verbose_name = _("Distribution")

    def ready(self) -> None:
        from marketplace.distribution import policies  # noqa: F401  registers its actions
