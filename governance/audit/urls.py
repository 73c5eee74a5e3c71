"""The auditor's pages, below /console/audit/."""

from django.urls import path

from governance.audit import views

urlpatterns = [
    path("log/", views.log, name="audit-log"),
    path("log/export/", views.export, name="audit-export"),
    path("chains/", views.chains, name="audit-chains"),
    path("chains/verify/", views.verify, name="audit-verify"),
    path("keeping/", views.keeping, name="audit-keeping"),
    path("keeping/retention/", views.set_retention, name="audit-retention"),
    path("keeping/holds/", views.set_hold, name="audit-hold"),
    path("keeping/holds/<uuid:hold_id>/release/", views.release_hold, name="audit-hold-release"),
]
