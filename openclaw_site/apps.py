"""The site's own apps: the console's look, and the site's checks."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """Django's admin with our site object, on which every page asks the decision point."""

    default_site = "openclaw_site.console.site.Console"


class SiteConfig(AppConfig):
    name = "openclaw_site"
    label = "site"
    verbose_name = "OpenClaw"

    def ready(self) -> None:
        from prometheus_client import REGISTRY

        from openclaw_site import celery  # noqa: F401  every process can send tasks
        from openclaw_site.metrics import SiteCollector

        REGISTRY.register(SiteCollector())
