from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DataConfig(AppConfig):
    name = "governance.data"
    label = "data"
    verbose_name = _("Data governance")

    def ready(self) -> None:
        from governance.access import facts
        from governance.data import policies, selectors  # noqa: F401  registers its actions
        from governance.data.datasets import register_files
        from governance.data.erasing import own_erasers
        from governance.data.people import own_people
        from governance.data.placement import Placer
        from governance.tenants.tasks import set_placer

        facts.register(selectors.facts)
        set_placer(Placer())
        register_files()
        own_erasers()
        own_people()
