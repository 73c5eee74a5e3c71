from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("oversight", "0001_initial")]

    operations = [
        # The platform's own stop concerns everybody, so everybody may read why nothing runs.
        TenantRowSecurity("oversight_stop", read_also="scope = 'platform'"),
        TenantRowSecurity("oversight_oversightrule"),
        TenantRowSecurity("oversight_oversighttask"),
        TenantRowSecurity("oversight_humanlabel"),
    ]
