from django.urls import include, path
from rest_framework.routers import SimpleRouter

from inference.rollouts.api import EndpointGrantView, EndpointViewSet
from inference.rollouts.drift_api import EndpointDriftView
from inference.rollouts.experiment_api import (
    EndpointExperimentPlanView,
    EndpointExperimentsView,
    RolloutStopArmView,
)
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
    path("endpoints/<uuid:endpoint_id>/drift/", EndpointDriftView.as_view(), name="endpoint-drift"),
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
    path(
        "endpoints/<uuid:endpoint_id>/experiments/",
        EndpointExperimentsView.as_view(),
        name="endpoint-experiments",
    ),
    path(
        "endpoints/<uuid:endpoint_id>/experiments/plan/",
        EndpointExperimentPlanView.as_view(),
        name="endpoint-experiment-plan",
    ),
    path("rollouts/<uuid:rollout_id>/stop-arm/", RolloutStopArmView.as_view(), name="rollout-stop-arm"),
    path("feedback/", FeedbackView.as_view(), name="feedback"),
    path("", include(router.urls)),
]
