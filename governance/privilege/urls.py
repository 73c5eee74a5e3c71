from django.urls import path

from governance.privilege import elevation_views, views

urlpatterns = [
    path("", views.review, name="access-review"),
    path("remove/", views.remove, name="right-remove"),
    path("unused/", views.proposals, name="removal-proposals"),
    path("unused/<uuid:proposal_id>/", views.decide_proposal, name="removal-proposal-decide"),
    path("elevations/", elevation_views.elevations, name="elevations"),
    path("elevations/ask/", elevation_views.ask, name="elevation-ask"),
    path("elevations/break-glass/", elevation_views.break_glass, name="break-glass"),
    path("elevations/holders/", elevation_views.name_holder, name="glass-holder-name"),
    path(
        "elevations/holders/<uuid:holder_id>/remove/",
        elevation_views.remove_holder,
        name="glass-holder-remove",
    ),
    path("elevations/settings/", elevation_views.save_settings, name="privilege-settings"),
    path(
        "elevations/<uuid:elevation_id>/decide/",
        elevation_views.decide_elevation,
        name="page-elevation-decide",
    ),
    path("elevations/<uuid:elevation_id>/end/", elevation_views.end, name="page-elevation-end"),
    path("elevations/<uuid:elevation_id>/review/", elevation_views.review_glass, name="glass-review"),
]
