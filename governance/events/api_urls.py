from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.events.api import ReceivedEventViewSet, TransmitterViewSet

router = SimpleRouter()
router.register("event-transmitters", TransmitterViewSet)
router.register("security-events", ReceivedEventViewSet)

urlpatterns = [path("", include(router.urls))]
