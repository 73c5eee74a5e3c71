from django.apps import AppConfig


class ReviewConfig(AppConfig):
    name = "marketplace.review"
    label = "review"
    verbose_name = "Review"

    def ready(self) -> None:
        from governance.ethics import subjects
        from marketplace.catalog import publication
        from marketplace.review import policies  # noqa: F401  registers its actions
        from marketplace.review.advancing import follow_publication

        subjects.register("review.submission", "review.advance_submission")
        publication.on_step(follow_publication)
