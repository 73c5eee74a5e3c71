from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("ethics", "0001_initial")]

    operations = [TenantRowSecurity("ethics_approval")]
