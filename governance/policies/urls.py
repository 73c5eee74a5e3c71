"""The pages of policies and decisions, below /console/policies/."""

from django.urls import path

from governance.policies import decision_views, views

urlpatterns = [
    path("", views.versions, name="policies"),
    path("shipped/", views.shipped, name="policies-shipped"),
    path("new/", views.edit, name="policies-new"),
    path("check/", views.check, name="policies-check"),
    path("what-if/", views.what_if_panel, name="policies-what-if"),
    path("versions/<uuid:version_id>/", views.version, name="policies-version"),
    path("versions/<uuid:version_id>/edit/", views.edit, name="policies-edit"),
    path("versions/<uuid:version_id>/<slug:step>/", views.take_step, name="policies-step"),
    path("decisions/", decision_views.decisions, name="policies-decisions"),
    path("why/decision/<uuid:record_id>/", decision_views.why_decision, name="why-decision"),
    path("why/audit/<uuid:entry_id>/", decision_views.why_entry, name="why-entry"),
    path("why/request/<str:request_id>/", decision_views.why_request, name="why-request"),
]
