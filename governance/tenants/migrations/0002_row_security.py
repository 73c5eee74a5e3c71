from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        # A tenant sees itself; only the platform sees the list of tenants.
        TenantRowSecurity("tenants_tenant", tenant_column="id"),
        TenantRowSecurity("tenants_membership"),
    ]
