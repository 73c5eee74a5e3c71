from django.apps import AppConfig


class DistributionConfig(AppConfig):
    name = "marketplace.distribution"
    label = "distribution"
    verbose_name = "Distribution"
