from django.urls import include, path
from rest_framework.routers import SimpleRouter

from marketplace.catalog.api import PartnerApplicationViewSet, PluginVersionViewSet, PluginViewSet

router = SimpleRouter()
router.register("plugins", PluginViewSet)
router.register("plugin-versions", PluginVersionViewSet)
router.register("partner-applications", PartnerApplicationViewSet)

urlpatterns = [path("", include(router.urls))]
