from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.ethics.api import ApprovalViewSet, QuestionnaireView

router = SimpleRouter()
router.register("ethics-approvals", ApprovalViewSet)

urlpatterns = [
    path("ethics-questionnaire/", QuestionnaireView.as_view(), name="ethics-questionnaire"),
    path("", include(router.urls)),
]
