from django.contrib.auth.views import LogoutView
from django.urls import path

from governance.access import views

urlpatterns = [
    path("accounts/login/", views.SignIn.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/tenant/", views.choose_tenant, name="choose-tenant"),
    path("o/token/", views.Token.as_view(), name="oauth-token"),
    path("o/revoke/", views.RevokeToken.as_view(), name="oauth-revoke"),
]
