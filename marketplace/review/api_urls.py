from django.urls import include, path
from rest_framework.routers import SimpleRouter

from marketplace.review.api import SubmissionViewSet

router = SimpleRouter()
router.register("submissions", SubmissionViewSet)

urlpatterns = [path("", include(router.urls))]
