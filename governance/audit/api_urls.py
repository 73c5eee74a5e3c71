from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.audit import api

router = SimpleRouter()
router.register("audit-entries", api.AuditEntryViewSet)
router.register("audit-heads", api.SignedHeadViewSet)
router.register("audit-verifications", api.ChainVerificationViewSet)
router.register("audit-holds", api.LegalHoldViewSet)

urlpatterns = [
    path("audit-export/", api.AuditExportView.as_view(), name="api-audit-export"),
    path("audit-retention/", api.RetentionView.as_view(), name="api-audit-retention"),
    path("", include(router.urls)),
]
