from django.urls import include, path
from rest_framework.routers import SimpleRouter

from marketplace.installs.api import InstallationViewSet

router = SimpleRouter()
router.register("installations", InstallationViewSet)

urlpatterns = [path("", include(router.urls))]
