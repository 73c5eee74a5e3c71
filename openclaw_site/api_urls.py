"""`/api/v1/`: each app contributes its own routes."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("governance.access.api_urls")),
    path("", include("governance.audit.api_urls")),
    path("", include("governance.policies.api_urls")),
    path("", include("governance.keys.api_urls")),
    path("", include("governance.identity.api_urls")),
    path("", include("governance.events.api_urls")),
    path("", include("governance.privilege.api_urls")),
    path("", include("governance.data.api_urls")),
    path("", include("governance.oversight.api_urls")),
    path("", include("inference.registry.api_urls")),
    path("", include("inference.rollouts.api_urls")),
    path("", include("inference.serving.api_urls")),
    path("", include("inference.capabilities.api_urls")),
    path("", include("skills.runtime.api_urls")),
    path("", include("governance.ethics.api_urls")),
    path("", include("marketplace.catalog.api_urls")),
    path("", include("marketplace.review.api_urls")),
    path("", include("marketplace.installs.api_urls")),
]
