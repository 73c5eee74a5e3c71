from django.apps import AppConfig


class InstallsConfig(AppConfig):
    name = "marketplace.installs"
    label = "installs"
    verbose_name = "Installations"

    def ready(self) -> None:
        from marketplace.catalog import publication
        from marketplace.installs import policies  # noqa: F401  registers its actions
        from marketplace.installs.services import follow_publication

        publication.on_step(follow_publication)
