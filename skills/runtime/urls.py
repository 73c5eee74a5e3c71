"""The console's pages about skills, below /console/skills/."""

from django.urls import path

from skills.runtime import views

urlpatterns = [
    path("", views.skills, name="skills"),
    path("<uuid:skill_id>/", views.skill, name="skill"),
    path("<uuid:skill_id>/call/", views.call, name="page-skill-call"),
    path("<uuid:skill_id>/grants/", views.grants, name="page-skill-grants"),
    path("<uuid:skill_id>/activate/", views.activate, name="page-skill-activate"),
]
