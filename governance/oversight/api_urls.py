from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.oversight.api import HumanLabelViewSet, OversightTaskViewSet, StopViewSet
from governance.oversight.rule_api import OversightRuleViewSet

router = SimpleRouter()
router.register("oversight-rules", OversightRuleViewSet)
router.register("stops", StopViewSet)
router.register("oversight-tasks", OversightTaskViewSet)
router.register("human-labels", HumanLabelViewSet)

urlpatterns = [path("", include(router.urls))]
