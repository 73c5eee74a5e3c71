from django.urls import include, path
from rest_framework.routers import SimpleRouter

from inference.rollouts.api import EndpointGrantView, EndpointViewSet

router = SimpleRouter()
router.register("endpoints", EndpointViewSet)

urlpatterns = [
    path(
        "endpoints/<uuid:endpoint_id>/grants/<uuid:application_id>",
        EndpointGrantView.as_view(),
        name="endpoint-grant",
    ),
    path("", include(router.urls)),
]
