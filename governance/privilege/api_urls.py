from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.privilege.api import AccessReviewView, ElevationViewSet, RemovalProposalViewSet
from governance.privilege.bounds_api import BoundsView, HolderViewSet

router = SimpleRouter()
router.register("removal-proposals", RemovalProposalViewSet)
router.register("elevations", ElevationViewSet)
router.register("break-glass-holders", HolderViewSet)

urlpatterns = [
    path("access-review/", AccessReviewView.as_view(), name="access-review-api"),
    path("rights-bounds/", BoundsView.as_view(), name="rights-bounds"),
    path("", include(router.urls)),
]
