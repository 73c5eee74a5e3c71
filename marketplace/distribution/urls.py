from django.urls import path

from marketplace.distribution import views

urlpatterns = [
    path("tuf/metadata/<path:name>", views.metadata, name="tuf-metadata"),
    path("tuf/targets/<path:name>", views.target, name="tuf-target"),
]
