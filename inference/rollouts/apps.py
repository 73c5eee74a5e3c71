from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    name = "inference.rollouts"
    label = "rollouts"
    verbose_name = "Endpoints"

    def ready(self) -> None:
        from inference.registry.services import guard_retirement
        from inference.rollouts import policies  # noqa: F401  registers the actions
        from inference.rollouts.services import objection_to_retirement

        guard_retirement(objection_to_retirement)
