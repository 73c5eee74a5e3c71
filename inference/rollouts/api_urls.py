from django.urls import include, path
from rest_framework.routers import SimpleRouter

from inference.rollouts.api import EndpointGrantView, EndpointViewSet
from inference.rollouts.feedback_api import EndpointQualityView, FeedbackView
from inference.rollouts.measurement_api import EndpointMeasurementsView, EndpointPolicyEstimateView
from inference.rollouts.rollout_api import RolloutViewSet

router = SimpleRouter()
router.register("endpoints", EndpointViewSet)
router.register("rollouts", RolloutViewSet)

urlpatterns = [
    path(
        "endpoints/<uuid:endpoint_id>/grants/<uuid:application_id>",
        EndpointGrantView.as_view(),
        name="endpoint-grant",
    ),
    path(
        "endpoints/<uuid:endpoint_id>/quality/",
        EndpointQualityView.as_view(),
        name="endpoint-quality",
    ),
    path(
        "endpoints/<uuid:endpoint_id>/measurements/",
        EndpointMeasurementsView.as_view(),
        name="endpoint-measurements-api",
    ),
    path(
        "endpoints/<uuid:endpoint_id>/estimate-split/",
        EndpointPolicyEstimateView.as_view(),
        name="endpoint-estimate-split",
    ),
    path("feedback/", FeedbackView.as_view(), name="feedback"),
    path("", include(router.urls)),
]
