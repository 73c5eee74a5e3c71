"""The console's pages about base capabilities, below /console/capabilities/."""

from django.urls import path

from inference.capabilities import views

urlpatterns = [
    path("", views.capabilities_page, name="capabilities"),
    path("add/", views.add, name="page-capabilities-add"),
    path("<slug:name>/", views.capability_page, name="capability"),
]
