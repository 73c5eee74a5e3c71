from django.urls import include, path
from rest_framework.routers import SimpleRouter

from inference.registry.api import ModelVersionViewSet, ModelViewSet

router = SimpleRouter()
router.register("models", ModelViewSet)
router.register("model-versions", ModelVersionViewSet)

urlpatterns = [path("", include(router.urls))]
