"""Every address of the site but `/v2` and the sockets, which `openclaw_site.asgi` dispatches."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from openclaw_site import views

urlpatterns = [
    path("", views.home, name="home"),
    path("", include("governance.access.urls")),
    path("language/", set_language, name="set_language"),
    path("console/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    path("api/v1/", include("openclaw_site.api_urls")),
    path("health/live", views.live, name="health-live"),
    path("health/ready", views.ready, name="health-ready"),
    path("metrics", views.metrics, name="metrics"),
]
