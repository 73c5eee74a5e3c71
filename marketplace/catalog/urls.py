"""Becoming a partner: the public form, below /partner/."""

from django.urls import path

from marketplace.catalog import views

urlpatterns = [path("join/", views.join, name="partner-join")]
