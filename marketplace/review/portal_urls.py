"""The partner's portal, below /partner/."""

from django.urls import path

from marketplace.review import portal_views as views

urlpatterns = [
    path("", views.home, name="partner-home"),
    path("upload/", views.upload, name="partner-upload"),
    path("submissions/<uuid:submission_id>/", views.submission, name="partner-submission"),
    path("submissions/<uuid:submission_id>/live/", views.live, name="partner-submission-live"),
    path("submissions/<uuid:submission_id>/answer/", views.answer, name="partner-answer"),
    path("submissions/<uuid:submission_id>/ethics/", views.questionnaire, name="partner-questionnaire"),
    path("submissions/<uuid:submission_id>/checks/<slug:name>/retry/", views.retry, name="partner-retry"),
    path("submissions/<uuid:submission_id>/withdraw/", views.withdraw, name="partner-withdraw"),
]
