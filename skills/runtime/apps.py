from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RuntimeConfig(AppConfig):
    name = "skills.runtime"
    label = "runtime"
    verbose_name = _("Skill runtime")

    def ready(self) -> None:
        from skills.runtime import policies  # noqa: F401  registers the actions
