from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]

    operations = [
        TenantRowSecurity("library_skill"),
        TenantRowSecurity("library_skillversion"),
        TenantRowSecurity("library_skillcall"),
    ]
