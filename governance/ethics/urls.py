"""The pages of ethics, below /console/ethics/."""

from django.urls import path, re_path

from governance.ethics import incident_views, views

urlpatterns = [
    path("", views.queue, name="ethics-queue"),
    path("approvals/<uuid:approval_id>/", views.approval, name="ethics-approval"),
    path("approvals/<uuid:approval_id>/renew/", views.renew, name="ethics-renew"),
    path("evidence/<uuid:approval_id>/", views.evidence, name="ethics-evidence"),
    path("uses/", incident_views.uses, name="ethics-uses"),
    path("bundles/<str:kind>/<str:object_id>/", incident_views.bundle, name="page-evidence-bundle"),
    path("incidents/", incident_views.register, name="incidents"),
    path("incidents/new/", incident_views.new, name="incident-new"),
    path("incidents/<uuid:incident_id>/", incident_views.incident, name="incident"),
    re_path(
        r"^incidents/(?P<incident_id>[0-9a-f-]{36})/(?P<name>investigate|report|close)/$",
        incident_views.step,
        name="incident-step",
    ),
]
