from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("installs", "0001_initial")]

    operations = [
        TenantRowSecurity("installs_installation"),
        TenantRowSecurity("installs_permissiongrant"),
    ]
