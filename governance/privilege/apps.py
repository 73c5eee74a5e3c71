from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PrivilegeConfig(AppConfig):
    name = "governance.privilege"
    label = "privilege"
    verbose_name = _("Least privilege")

    def ready(self) -> None:
        from governance.access import leaving
        from governance.access.recorder import recorder
        from governance.data import people
        from governance.privilege import policies, services, uses  # noqa: F401  registers its actions
        from governance.privilege.models import BreakGlassHolder, Elevation, RightUse

        people.forget(RightUse, "account")
        people.forget(BreakGlassHolder, "person")
        people.keep(Elevation, "person", _("it says who held which rights, and the law wants that kept"))
        recorder.subscribe(uses.count)
        leaving.on_left(services.forget_who_left)
