from django.urls import path

from governance.access import application_views, device_views, oauth_views, views

urlpatterns = [
    path("accounts/tenant/", views.choose_tenant, name="choose-tenant"),
    path("applications/", application_views.applications, name="applications"),
    path(
        "applications/<uuid:application_id>/disable/",
        application_views.disable,
        name="page-application-disable",
    ),
    path(
        "applications/<uuid:application_id>/require-dpop/",
        application_views.require_dpop,
        name="page-application-require-dpop",
    ),
    path("devices/", device_views.device_list, name="devices"),
    path("devices/<uuid:device_id>/posture/", device_views.device_posture, name="device-posture"),
    path("devices/<uuid:device_id>/revoke/", device_views.device_revoke, name="device-revoke"),
    path("o/token/", oauth_views.Token.as_view(), name="oauth-token"),
    path("o/revoke/", oauth_views.RevokeToken.as_view(), name="oauth-revoke"),
    path("o/authorize/", oauth_views.Authorize.as_view(), name="oauth-authorize"),
    path(".well-known/oauth-authorization-server", oauth_views.metadata, name="oauth-metadata"),
]
