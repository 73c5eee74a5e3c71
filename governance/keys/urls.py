"""The console's pages about keys, below /console/keys/."""

from django.urls import path

from governance.keys import views

urlpatterns = [
    path("", views.keys, name="keys"),
    path("<uuid:tenant_id>/", views.tenant, name="keys-tenant"),
    path("<uuid:tenant_id>/progress/", views.progress, name="keys-progress"),
    path("<uuid:tenant_id>/rotate/", views.rotate, name="keys-rotate"),
    path("<uuid:tenant_id>/re-encrypt/", views.re_encrypt, name="keys-re-encrypt"),
    path("<uuid:tenant_id>/destroy/", views.destroy, name="keys-destroy"),
    path("re-encryptions/<uuid:job_id>/cancel/", views.cancel, name="keys-cancel"),
    path("destructions/<uuid:destruction_id>/", views.decide_destruction, name="keys-destruction"),
]
