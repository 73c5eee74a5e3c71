from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.access.api import ApplicationViewSet, MeView

router = SimpleRouter()
router.register("applications", ApplicationViewSet)

urlpatterns = [path("me/", MeView.as_view(), name="me"), path("", include(router.urls))]
