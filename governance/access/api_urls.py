from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.access.api import ApplicationViewSet, MeView
from governance.access.device_api import DeviceViewSet
from governance.access.people_api import MembershipViewSet, PersonViewSet, TenantViewSet

router = SimpleRouter()
router.register("applications", ApplicationViewSet)
router.register("devices", DeviceViewSet)
router.register("tenants", TenantViewSet)
router.register("people", PersonViewSet)
router.register("memberships", MembershipViewSet)

urlpatterns = [path("me/", MeView.as_view(), name="me"), path("", include(router.urls))]
