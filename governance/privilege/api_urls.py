from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.privilege.api import AccessReviewView, ElevationViewSet, RemovalProposalViewSet

router = SimpleRouter()
router.register("removal-proposals", RemovalProposalViewSet)
router.register("elevations", ElevationViewSet)

urlpatterns = [
    path("access-review/", AccessReviewView.as_view(), name="access-review-api"),
    path("", include(router.urls)),
]
