"""The console's pages about batch predictions, below /console/batch/."""

from django.urls import path

from inference.serving import views

urlpatterns = [
    path("", views.jobs, name="batch-jobs"),
    path("<uuid:job_id>/", views.job, name="batch-job"),
    path("<uuid:job_id>/live/", views.job_live, name="page-batch-job-live"),
    path("<uuid:job_id>/cancel/", views.cancel, name="page-batch-job-cancel"),
    path("<uuid:job_id>/pause/", views.pause, name="page-batch-job-pause"),
    path("<uuid:job_id>/reference/", views.refer, name="page-batch-job-reference"),
    path("<uuid:job_id>/resume/", views.resume, name="page-batch-job-resume"),
]
