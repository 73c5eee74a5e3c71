"""The console's pages about endpoints, below /console/."""

from django.urls import path

from inference.rollouts import experiment_views, measurement_views, rollout_views, routing_views, views

urlpatterns = [
    path("endpoints/", views.endpoints, name="endpoints"),
    path("endpoints/new/", views.create, name="page-endpoint-create"),
    path("endpoints/<uuid:endpoint_id>/", views.endpoint, name="endpoint"),
    path("endpoints/<uuid:endpoint_id>/figures/", views.figures, name="page-endpoint-figures"),
    path(
        "endpoints/<uuid:endpoint_id>/measurements/",
        measurement_views.measurements,
        name="endpoint-measurements",
    ),
    path("endpoints/<uuid:endpoint_id>/drift/", measurement_views.drift, name="page-endpoint-drift"),
    path("endpoints/<uuid:endpoint_id>/split/", views.split, name="page-endpoint-split"),
    path("endpoints/<uuid:endpoint_id>/roll-back/", views.undo, name="page-endpoint-roll-back"),
    path("endpoints/<uuid:endpoint_id>/objective/", views.objective, name="page-endpoint-objective"),
    path("endpoints/<uuid:endpoint_id>/grants/", views.grants, name="page-endpoint-grants"),
    path("endpoints/<uuid:endpoint_id>/rollout/", rollout_views.start, name="page-rollout-start"),
    path("endpoints/<uuid:endpoint_id>/routing/", routing_views.routing, name="page-endpoint-routing"),
    path("endpoints/<uuid:endpoint_id>/compete/", routing_views.compete, name="page-bandit-start"),
    path("endpoints/<uuid:endpoint_id>/experiment/", experiment_views.start, name="page-experiment-start"),
    path("rollouts/<uuid:rollout_id>/stop-arm/", experiment_views.stop_arm, name="page-rollout-stop-arm"),
    path("rollouts/<uuid:rollout_id>/", rollout_views.rollout, name="rollout"),
    path("rollouts/<uuid:rollout_id>/live/", rollout_views.live, name="page-rollout-live"),
    path("rollouts/<uuid:rollout_id>/act/", rollout_views.act, name="page-rollout-act"),
    path("rollouts/<uuid:rollout_id>/looks/<int:number>/", rollout_views.look, name="page-rollout-look"),
]
