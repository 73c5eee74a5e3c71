from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.audit.api import AuditEntryViewSet

router = SimpleRouter()
router.register("audit-entries", AuditEntryViewSet)

urlpatterns = [path("", include(router.urls))]
