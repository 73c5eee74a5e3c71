"""The reviewer's workbench, below /console/review/."""

from django.urls import path

from marketplace.review import views

urlpatterns = [
    path("", views.queue, name="review-queue"),
    path("submissions/<uuid:submission_id>/", views.submission, name="review-submission"),
    path("submissions/<uuid:submission_id>/claim/", views.claim, name="review-claim"),
    path("submissions/<uuid:submission_id>/release/", views.release, name="review-release"),
    path("submissions/<uuid:submission_id>/ask/", views.ask, name="review-ask"),
    path("submissions/<uuid:submission_id>/decide/", views.decide, name="review-decide"),
    path("submissions/<uuid:submission_id>/block/", views.block, name="review-block"),
]
