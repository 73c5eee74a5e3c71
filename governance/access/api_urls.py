from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.access.api import ApplicationViewSet, MeView
from governance.access.device_api import DeviceViewSet

router = SimpleRouter()
router.register("applications", ApplicationViewSet)
router.register("devices", DeviceViewSet)

urlpatterns = [path("me/", MeView.as_view(), name="me"), path("", include(router.urls))]
