from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.ethics.api import ApprovalViewSet, BindingViewSet, QuestionnaireView
from governance.ethics.bundle_api import BundleKeyView, BundleView
from governance.ethics.incident_api import IncidentViewSet

router = SimpleRouter()
router.register("ethics-approvals", ApprovalViewSet)
router.register("ethics-uses", BindingViewSet)
router.register("incidents", IncidentViewSet)

urlpatterns = [
    path("ethics-questionnaire/", QuestionnaireView.as_view(), name="ethics-questionnaire"),
    path("evidence-bundles/key/", BundleKeyView.as_view(), name="evidence-bundle-key"),
    path("evidence-bundles/<str:kind>/<uuid:object_id>/", BundleView.as_view(), name="evidence-bundle"),
    path("", include(router.urls)),
]
