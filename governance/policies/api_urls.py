from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.policies.api import DecisionRecordViewSet, PolicyVersionViewSet

router = SimpleRouter()
router.register("policy-versions", PolicyVersionViewSet)
router.register("decisions", DecisionRecordViewSet)

urlpatterns = [path("", include(router.urls))]
