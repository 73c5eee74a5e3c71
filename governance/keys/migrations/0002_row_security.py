from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("keys", "0001_initial")]

    operations = [
        TenantRowSecurity("keys_wrappingkey"),
        TenantRowSecurity("keys_datakey"),
        TenantRowSecurity("keys_reencryption"),
        TenantRowSecurity("keys_destruction"),
    ]
