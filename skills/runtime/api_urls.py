from django.urls import include, path
from rest_framework.routers import SimpleRouter

from skills.runtime.api import InvokeView, SkillGrantView, SkillViewSet

router = SimpleRouter()
router.register("skills", SkillViewSet)

urlpatterns = [
    path("skills/<slug:name>/invoke", InvokeView.as_view(), name="skill-invoke"),
    path("skills/<slug:name>/grants/<uuid:application_id>", SkillGrantView.as_view(), name="skill-grant"),
    path("", include(router.urls)),
]
