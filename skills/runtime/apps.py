from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "skills.runtime"
    label = "runtime"
    verbose_name = "Skill runtime"

    def ready(self) -> None:
        from skills.runtime import policies  # noqa: F401  registers the actions
