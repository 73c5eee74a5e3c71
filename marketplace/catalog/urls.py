"""The partner portal, below /partner/."""

from django.urls import path

from marketplace.catalog import views

urlpatterns = [
    path("", views.home, name="partner-home"),
    path("join/", views.join, name="partner-join"),
    path("upload/", views.upload, name="partner-upload"),
]
