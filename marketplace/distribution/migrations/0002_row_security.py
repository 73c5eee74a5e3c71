from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("distribution", "0001_initial")]

    operations = [TenantRowSecurity("distribution_release")]
