from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "inference.serving"
    label = "serving"
    verbose_name = "Serving"

    def ready(self) -> None:
        from inference.serving import policies  # noqa: F401  registers the actions
        from inference.serving.batch.metrics import register_batch_metrics

        register_batch_metrics()
