from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

APPEND_ONLY = """
CREATE FUNCTION ethics_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'evidence is only added, never changed'; END $$;
CREATE TRIGGER ethics_append_only BEFORE UPDATE OR DELETE ON ethics_evidence
    FOR EACH ROW EXECUTE FUNCTION ethics_refuse_change();
CREATE TRIGGER ethics_no_truncate BEFORE TRUNCATE ON ethics_evidence
    FOR EACH STATEMENT EXECUTE FUNCTION ethics_refuse_change();
"""
UNDO = """
DROP TRIGGER ethics_no_truncate ON ethics_evidence;
DROP TRIGGER ethics_append_only ON ethics_evidence;
DROP FUNCTION ethics_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("ethics", "0003_evidence_bindings_incidents")]

    operations = [
        TenantRowSecurity("ethics_evidence"),
        TenantRowSecurity("ethics_binding"),
        TenantRowSecurity("ethics_incident"),
        migrations.RunSQL(APPEND_ONLY, UNDO),
    ]
