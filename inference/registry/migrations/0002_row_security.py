from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]

    operations = [TenantRowSecurity("registry_model"), TenantRowSecurity("registry_modelversion")]
