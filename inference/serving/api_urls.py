from django.urls import include, path
from rest_framework.routers import SimpleRouter

from inference.serving.api import PredictView
from inference.serving.batch.api import BatchJobViewSet

router = SimpleRouter()
router.register("batch-jobs", BatchJobViewSet)

urlpatterns = [
    path("endpoints/<slug:name>/predict", PredictView.as_view(), name="endpoint-predict"),
    path("", include(router.urls)),
]
