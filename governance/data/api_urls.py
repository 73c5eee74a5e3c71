from django.urls import include, path
from rest_framework.routers import SimpleRouter

from governance.data.api import (
    AssetViewSet,
    DatasetGrantView,
    DatasetViewSet,
    DeclassificationViewSet,
    LineageView,
)
from governance.data.api_placement import (
    BurstRuleViewSet,
    ComputePoolViewSet,
    ErasureViewSet,
    PlacementViewSet,
)

router = SimpleRouter()
router.register("assets", AssetViewSet)
router.register("datasets", DatasetViewSet)
router.register("declassifications", DeclassificationViewSet)
router.register("compute-pools", ComputePoolViewSet)
router.register("burst-rules", BurstRuleViewSet, basename="burstrule")
router.register("placements", PlacementViewSet)
router.register("erasures", ErasureViewSet)

urlpatterns = [
    path(
        "datasets/<uuid:dataset_id>/grants/<uuid:application_id>",
        DatasetGrantView.as_view(),
        name="dataset-grant",
    ),
    path("lineage/", LineageView.as_view(), name="lineage-api"),
    path("", include(router.urls)),
]
