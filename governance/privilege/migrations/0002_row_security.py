from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("privilege", "0001_initial")]

    operations = [
        TenantRowSecurity("privilege_rightuse"),
        TenantRowSecurity("privilege_privilegesettings"),
        TenantRowSecurity("privilege_removalproposal"),
        TenantRowSecurity("privilege_elevation"),
        TenantRowSecurity("privilege_breakglassholder"),
    ]
