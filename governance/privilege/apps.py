from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PrivilegeConfig(AppConfig):
    name = "governance.privilege"
    label = "privilege"
    verbose_name = _("Least privilege")

    def ready(self) -> None:
        from governance.access import leaving
        from governance.access.recorder import recorder
        from governance.privilege import policies, services, uses  # noqa: F401  registers its actions

        recorder.subscribe(uses.count)
        leaving.on_left(services.forget_who_left)
