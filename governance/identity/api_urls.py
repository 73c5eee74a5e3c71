from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.identity import api

router = SimpleRouter()
router.register("identity-providers", api.IdentityProviderViewSet)
router.register("user-sessions", api.UserSessionViewSet)

urlpatterns = [
    path("identity-policy/", api.IdentityPolicyView.as_view(), name="identity-policy"),
    path("identity-people/", api.PeopleView.as_view(), name="identity-people-list"),
    path(
        "identity-people/<uuid:user_id>/reset-factors/",
        api.ResetFactorsView.as_view(),
        name="identity-reset-factors",
    ),
    path(
        "identity-people/<uuid:user_id>/end-sessions/",
        api.EndSessionsView.as_view(),
        name="identity-end-sessions",
    ),
    path("", include(router.urls)),
]
