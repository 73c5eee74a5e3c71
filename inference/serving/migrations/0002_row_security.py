from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("serving", "0001_initial")]

    operations = [TenantRowSecurity("serving_batchjob"), TenantRowSecurity("serving_batchshard")]
