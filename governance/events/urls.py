"""Where transmitters deliver, and the page about them."""

from django.urls import path

from governance.events import views

urlpatterns = [
    path("events/caep/<uuid:transmitter_id>/", views.deliver, name="caep-deliver"),
    path("console/events/", views.page, name="security-events"),
    path("console/events/add/", views.add, name="security-events-add"),
    path("console/events/<uuid:transmitter_id>/enabled/", views.enable, name="security-events-enable"),
]
