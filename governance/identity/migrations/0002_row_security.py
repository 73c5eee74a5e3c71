from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

TABLES = (
    "identity_identitypolicy",
    "identity_usersession",
    "identity_identityprovider",
    "identity_groupmapping",
    "identity_providedrole",
)


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]

    operations = [TenantRowSecurity(table) for table in TABLES]
