from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]

    operations = [
        TenantRowSecurity("catalog_partner", read_also="listed"),
        TenantRowSecurity("catalog_partnerapplication"),
        TenantRowSecurity("catalog_plugin", read_also="listed"),
        # A blocked version stays readable, so that whoever installed it can be told why.
        TenantRowSecurity("catalog_pluginversion", read_also="state IN ('published', 'blocked')"),
    ]
