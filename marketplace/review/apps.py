from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReviewConfig(AppConfig):
    name = "marketplace.review"
    label = "review"
    verbose_name = _("Review")

    def ready(self) -> None:
        from governance.data import people
        from governance.ethics import subjects
        from marketplace.catalog import publication
        from marketplace.review import policies  # noqa: F401  registers its actions
        from marketplace.review.advancing import follow_publication
        from marketplace.review.keeping import register_files
        from marketplace.review.models import SubmissionEvent

        people.keep(SubmissionEvent, "actor_id", people.KEPT_BY_LAW, also=["actor_label"])
        subjects.register("review.submission", "review.advance_submission")
        register_files()
        publication.on_step(follow_publication)
