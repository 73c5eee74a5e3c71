from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InstallsConfig(AppConfig):
    name = "marketplace.installs"
    label = "installs"
    verbose_name = _("Installations")

    def ready(self) -> None:
        from marketplace.catalog import publication
        from marketplace.installs import policies  # noqa: F401  registers its actions
        from marketplace.installs.services import follow_publication

        publication.on_step(follow_publication)
