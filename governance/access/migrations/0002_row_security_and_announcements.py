"""Row security on applications, and triggers that tell every process when something it may have cached changes.

Triggers, because some of these tables are written by libraries: whoever changes a token, a grant or a membership, by
whatever path, the announcement is part of the same transaction.
"""

from django.conf import settings
from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

# table: (topic, column of the key)
ANNOUNCED = {
    "oauth2_provider_accesstoken": ("token", "token_checksum"),
    "access_application": ("application", "id"),
    "tenants_user": ("membership", "id"),
    "tenants_membership": ("membership", "user_id"),
    "tenants_tenant": ("tenant", "id"),
    "guardian_userobjectpermission": ("grant", "user_id"),
}

FUNCTION = """
CREATE FUNCTION openclaw_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('openclaw', TG_ARGV[0] || ':' || (to_jsonb(OLD) ->> TG_ARGV[1]));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('openclaw', TG_ARGV[0] || ':' || (to_jsonb(NEW) ->> TG_ARGV[1]));
    END IF;
    RETURN NULL;
END $$;
"""


def create_trigger(table: str, topic: str, column: str) -> str:
    # A sign-in writes last_login; that is no change of rights.
    events = "INSERT OR DELETE OR UPDATE" + (" OF is_active" if table == "tenants_user" else "")
    return (
        f"CREATE TRIGGER openclaw_announce AFTER {events} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION openclaw_announce('{topic}', '{column}')"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0001_initial"),
        ("tenants", "0002_row_security"),
        ("guardian", "0003_remove_groupobjectpermission_guardian_gr_content_ae6aec_idx_and_more"),
        ("oauth2_provider", "0022_refreshtoken_token_family_index"),
        migrations.swappable_dependency(settings.OAUTH2_PROVIDER_APPLICATION_MODEL),
    ]

    operations = [
        TenantRowSecurity("access_application"),
        migrations.RunSQL(FUNCTION, "DROP FUNCTION openclaw_announce()"),
        *(
            migrations.RunSQL(create_trigger(table, *key), f"DROP TRIGGER openclaw_announce ON {table}")
            for table, key in ANNOUNCED.items()
        ),
    ]
