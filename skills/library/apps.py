from django.apps import AppConfig


class LibraryConfig(AppConfig):
    name = "skills.library"
    label = "library"
    verbose_name = "Skills"
