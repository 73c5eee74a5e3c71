"""The console's pages for finding and installing plugins, below /console/."""

from django.urls import path

from marketplace.installs import views

urlpatterns = [
    path("catalogue/", views.catalogue, name="catalogue"),
    path("catalogue/<slug:slug>/", views.plugin, name="catalogue-plugin"),
    path("catalogue/install/<uuid:version_id>/", views.install, name="install"),
    path("installations/", views.installations, name="installations"),
    path("installations/<uuid:installation_id>/", views.installation, name="installation"),
    path(
        "installations/<uuid:installation_id>/live/", views.installation_live, name="page-installation-live"
    ),
    path("installations/<uuid:installation_id>/retry/", views.retry, name="page-installation-retry"),
    path(
        "installations/<uuid:installation_id>/uninstall/", views.uninstall, name="page-installation-uninstall"
    ),
]
