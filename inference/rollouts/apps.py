from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RolloutsConfig(AppConfig):
    name = "inference.rollouts"
    label = "rollouts"
    verbose_name = _("Endpoints")

    def ready(self) -> None:
        from governance.ethics.subjects import register_parts
        from governance.oversight.tasking import guard_answers
        from inference.registry.services import guard_retirement
        from inference.rollouts import policies  # noqa: F401  registers the actions
        from inference.rollouts.asking import may_answer
        from inference.rollouts.cataloguing import register_with_catalogue
        from inference.rollouts.metrics import register_rollout_metrics
        from inference.rollouts.selectors import versions_behind
        from inference.rollouts.services import objection_to_retirement

        guard_answers("rollouts.rollout", may_answer)
        register_parts("rollouts.endpoint", versions_behind)
        guard_retirement(objection_to_retirement)
        register_with_catalogue()
        register_rollout_metrics()
