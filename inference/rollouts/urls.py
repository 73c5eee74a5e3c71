"""The console's pages about endpoints, below /console/."""

from django.urls import path

from inference.rollouts import views

urlpatterns = [
    path("endpoints/", views.endpoints, name="endpoints"),
    path("endpoints/new/", views.create, name="page-endpoint-create"),
    path("endpoints/<uuid:endpoint_id>/", views.endpoint, name="endpoint"),
    path("endpoints/<uuid:endpoint_id>/figures/", views.figures, name="page-endpoint-figures"),
    path("endpoints/<uuid:endpoint_id>/split/", views.split, name="page-endpoint-split"),
    path("endpoints/<uuid:endpoint_id>/roll-back/", views.undo, name="page-endpoint-roll-back"),
    path("endpoints/<uuid:endpoint_id>/grants/", views.grants, name="page-endpoint-grants"),
]
