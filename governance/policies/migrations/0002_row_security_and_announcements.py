"""Row security, the announcement that policies have changed, and texts that stay as they were proposed."""

from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

ANNOUNCE = """
CREATE TRIGGER openclaw_announce AFTER INSERT OR DELETE OR UPDATE OF state, text ON policies_policyversion
FOR EACH ROW EXECUTE FUNCTION openclaw_announce('policy', 'tenant_id');
"""

KEEP_TEXT = """
CREATE FUNCTION policies_keep_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the text and the author of a version that was proposed never change';
END $$;
CREATE TRIGGER policies_keep_text BEFORE UPDATE ON policies_policyversion FOR EACH ROW
WHEN (OLD.state <> 'draft' AND (OLD.text, OLD.digest, OLD.author_id, OLD.number, OLD.tenant_id)
      IS DISTINCT FROM (NEW.text, NEW.digest, NEW.author_id, NEW.number, NEW.tenant_id))
EXECUTE FUNCTION policies_keep_text();
"""


class Migration(migrations.Migration):
    dependencies = [("policies", "0001_initial"), ("access", "0002_row_security_and_announcements")]

    operations = [
        TenantRowSecurity("policies_policyset"),
        TenantRowSecurity("policies_policyversion"),
        TenantRowSecurity("policies_decisionrecord"),
        migrations.RunSQL(ANNOUNCE, "DROP TRIGGER openclaw_announce ON policies_policyversion;"),
        migrations.RunSQL(
            KEEP_TEXT,
            "DROP TRIGGER policies_keep_text ON policies_policyversion; DROP FUNCTION policies_keep_text();",
        ),
    ]
