"""Deciding who becomes a partner, below /console/."""

from django.urls import path

from marketplace.catalog import views

urlpatterns = [
    path("partners/", views.applications, name="partner-applications"),
    path("partners/<uuid:application_id>/", views.decide_partner, name="partner-application-decide"),
]
