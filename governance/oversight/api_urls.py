from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.oversight.api import HumanLabelViewSet, OversightTaskViewSet, StopViewSet, WithheldAnswerView
from governance.oversight.rule_api import OversightRuleViewSet

router = SimpleRouter()
router.register("oversight-rules", OversightRuleViewSet)
router.register("stops", StopViewSet)
router.register("oversight-tasks", OversightTaskViewSet)
router.register("human-labels", HumanLabelViewSet)

urlpatterns = [
    path("oversight-answers/<uuid:task_id>/", WithheldAnswerView.as_view(), name="oversight-answer"),
    path("", include(router.urls)),
]
