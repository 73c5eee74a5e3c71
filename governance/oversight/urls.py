from django.urls import path

from governance.oversight import rule_views, stop_views, views

urlpatterns = [
    path("", views.queue, name="oversight-queue"),
    path("<uuid:task_id>/", views.task, name="oversight-task"),
    path("rules/", rule_views.rules, name="oversight-rules"),
    path("rules/<uuid:rule_id>/remove/", rule_views.remove, name="oversight-rule-remove"),
    path("contest/", rule_views.contest, name="oversight-contest"),
    path("stops/", stop_views.stops, name="stop-buttons"),
    path("stops/press/", stop_views.press, name="stop-press"),
    path("stops/<uuid:stop_id>/ask-release/", stop_views.ask_release, name="page-stop-ask-release"),
    path("stops/<uuid:stop_id>/release/", stop_views.release, name="page-stop-release"),
]
