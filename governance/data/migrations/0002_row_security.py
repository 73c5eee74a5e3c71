from django.db import migrations

from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [("data", "0001_initial")]

    operations = [
        TenantRowSecurity("data_asset"),
        TenantRowSecurity("data_lineageedge"),
        TenantRowSecurity("data_declassification"),
        TenantRowSecurity("data_dataset"),
        TenantRowSecurity("data_computepool", read_also="shared"),
        TenantRowSecurity("data_burstpolicy"),
        TenantRowSecurity("data_placementrecord"),
        TenantRowSecurity("data_erasure"),
        TenantRowSecurity("data_erasureplace"),
    ]
