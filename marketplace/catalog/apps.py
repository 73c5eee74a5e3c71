from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CatalogConfig(AppConfig):
    name = "marketplace.catalog"
    label = "catalog"
    verbose_name = _("Catalogue")

    def ready(self) -> None:
        from governance.data import people
        from marketplace.catalog import policies  # noqa: F401  registers its actions
        from marketplace.catalog.models import Partner, PartnerApplication

        people.stay(Partner, reason=_("the address of an organisation, which its administrators change"))
        people.pseudonymise(PartnerApplication, "applicant", instead={"contact_email": ""})
