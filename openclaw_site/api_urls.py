"""`/api/v1/`: each app contributes its own routes."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("governance.access.api_urls")),
    path("", include("governance.audit.api_urls")),
]
