from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LibraryConfig(AppConfig):
    name = "skills.library"
    label = "library"
    verbose_name = _("Skills")

    def ready(self) -> None:
        from governance.ethics.subjects import register_parts
        from skills.library import policies  # noqa: F401  registers the actions
        from skills.library.cataloguing import register_erasers
        from skills.library.selectors import versions_behind

        register_erasers()
        register_parts("library.skill", versions_behind)
