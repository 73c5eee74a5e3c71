from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.keys.api import (
    DataKeyViewSet,
    DestructionViewSet,
    KeyProviderView,
    ReEncryptionViewSet,
    WrappingKeyViewSet,
)

router = SimpleRouter()
router.register("wrapping-keys", WrappingKeyViewSet)
router.register("data-keys", DataKeyViewSet)
router.register("re-encryptions", ReEncryptionViewSet)
router.register("key-destructions", DestructionViewSet)

urlpatterns = [
    path("key-provider/", KeyProviderView.as_view(), name="key-provider"),
    path("", include(router.urls)),
]
