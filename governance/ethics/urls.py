"""The ethics officer's pages, below /console/ethics/."""

from django.urls import path

from governance.ethics import views

urlpatterns = [
    path("", views.queue, name="ethics-queue"),
    path("approvals/<uuid:approval_id>/", views.approval, name="ethics-approval"),
]
