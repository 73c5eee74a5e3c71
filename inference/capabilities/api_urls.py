from django.urls import path

from inference.capabilities.api import CapabilitiesView, UseCapabilityView

urlpatterns = [
    path("capabilities/", CapabilitiesView.as_view(), name="capabilities-api"),
    path("capabilities/<slug:name>/", UseCapabilityView.as_view(), name="capability-use"),
]
