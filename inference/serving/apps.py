from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ServingConfig(AppConfig):
    name = "inference.serving"
    label = "serving"
    verbose_name = _("Serving")

    def ready(self) -> None:
        from inference.serving import checks, policies  # noqa: F401  registers the checks and the actions
        from inference.serving.batch.ending import register_refusals
        from inference.serving.batch.erasing import register_with_catalogue
        from inference.serving.batch.files import register_files
        from inference.serving.batch.metrics import register_batch_metrics
        from inference.serving.batch.referencing import register_reference_refusals
        from inference.serving.sweeping import register_sweep

        register_batch_metrics()
        register_with_catalogue()
        register_files()
        register_refusals()
        register_reference_refusals()
        register_sweep()
