from django.apps import AppConfig


class LibraryConfig(AppConfig):
    name = "skills.library"
    label = "library"
    verbose_name = "Skills"

    def ready(self) -> None:
        from skills.library import policies  # noqa: F401  registers the actions
