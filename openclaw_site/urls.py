"""Every address of the site but `/v2` and the sockets, which `openclaw_site.asgi` dispatches."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from openclaw_site import views
from openclaw_site.console import views as console

urlpatterns = [
    path("", views.home, name="home"),
    path("", include("governance.access.urls")),
    path("language/", set_language, name="set_language"),
    # The product's own pages stand before the generated ones, whose addresses begin with an app's label.
    path("console/", console.dashboard),
    path("console/house/", console.house_part, name="console-house"),
    path("console/", include("inference.rollouts.urls")),
    path("console/policies/", include("governance.policies.urls")),
    path("console/keys/", include("governance.keys.urls")),
    path("console/audit/", include("governance.audit.urls")),
    path("console/privilege/", include("governance.privilege.urls")),
    path("console/data/", include("governance.data.urls")),
    path("console/ethics/", include("governance.ethics.urls")),
    path("console/oversight/", include("governance.oversight.urls")),
    path("", include("governance.identity.urls")),
    path("", include("governance.events.urls")),
    path("console/batch/", include("inference.serving.urls")),
    path("console/capabilities/", include("inference.capabilities.urls")),
    path("console/skills/", include("skills.runtime.urls")),
    path("console/", include("marketplace.installs.urls")),
    path("console/review/", include("marketplace.review.urls")),
    path("console/", include("marketplace.catalog.console_urls")),
    path("console/", admin.site.urls),
    path("partner/", include("marketplace.catalog.urls")),
    path("partner/", include("marketplace.review.portal_urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    path("api/v1/", include("openclaw_site.api_urls")),
    path("", include("marketplace.distribution.urls")),
    path("health/live", views.live, name="health-live"),
    path("health/ready", views.ready, name="health-ready"),
    path("metrics", views.metrics, name="metrics"),
]

handler404 = "openclaw_site.failures.not_found"
handler500 = "openclaw_site.failures.server_error"
