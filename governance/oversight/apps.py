from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OversightConfig(AppConfig):
    name = "governance.oversight"
    label = "oversight"
    verbose_name = _("Human oversight")

    def ready(self) -> None:
        from governance.access import conditions
        from governance.keys import rewriting
        from governance.oversight import policies, rules, stops  # noqa: F401  registers its actions
        from governance.oversight.erasing import register_erasers
        from governance.oversight.models import Withheld
        from governance.oversight.withholding import PURPOSE

        register_erasers()
        conditions.register(stops.stopped, groups={"invoke"})
        conditions.register(rules.referred, groups={"invoke"})
        rewriting.register(rewriting.ColumnCollection("oversight.withheld", Withheld, "content", PURPOSE))
