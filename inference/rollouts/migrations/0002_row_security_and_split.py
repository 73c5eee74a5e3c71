"""Row security; the sum of a split; the append-only history of splits."""

from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

# Checked at commit, so that a service may change arms one by one. Run in platform scope, because a check of integrity
# must see every arm whatever context the transaction ends in; it gives nothing away but the sum. The scope is set and
# put back in the body: only a superuser may attach a setting of ours to a function, and the owner is none.
SPLIT_IS_WHOLE = """
CREATE FUNCTION rollouts_split_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scope text := coalesce(current_setting('openclaw.scope', true), '');
    touched uuid[] := ARRAY[]::uuid[];
    broken uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN touched := touched || OLD.endpoint_id; END IF;
    IF TG_OP <> 'DELETE' THEN touched := touched || NEW.endpoint_id; END IF;
    PERFORM set_config('openclaw.scope', 'platform', true);
    SELECT endpoint_id INTO broken FROM rollouts_endpointarm WHERE endpoint_id = ANY (touched)
        GROUP BY endpoint_id HAVING sum(weight) <> 100 LIMIT 1;
    PERFORM set_config('openclaw.scope', scope, true);
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'The traffic split of endpoint % does not sum to 100 percent.', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rollouts_split_is_whole';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER rollouts_split_is_whole AFTER INSERT OR UPDATE OR DELETE ON rollouts_endpointarm
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rollouts_split_is_whole();
"""
SPLIT_UNCHECKED = """
DROP TRIGGER rollouts_split_is_whole ON rollouts_endpointarm;
DROP FUNCTION rollouts_split_is_whole();
"""

APPEND_ONLY = """
CREATE FUNCTION rollouts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The history of splits is append-only: % is refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER rollouts_append_only BEFORE UPDATE OR DELETE ON rollouts_splitchange
    FOR EACH ROW EXECUTE FUNCTION rollouts_refuse_change();
CREATE TRIGGER rollouts_no_truncate BEFORE TRUNCATE ON rollouts_splitchange
    FOR EACH STATEMENT EXECUTE FUNCTION rollouts_refuse_change();
"""
CHANGEABLE = """
DROP TRIGGER rollouts_no_truncate ON rollouts_splitchange;
DROP TRIGGER rollouts_append_only ON rollouts_splitchange;
DROP FUNCTION rollouts_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0001_initial")]

    operations = [
        TenantRowSecurity("rollouts_endpoint"),
        TenantRowSecurity("rollouts_endpointarm"),
        TenantRowSecurity("rollouts_splitchange"),
        TenantRowSecurity("rollouts_outcomerecord"),
        migrations.RunSQL(SPLIT_IS_WHOLE, SPLIT_UNCHECKED),
        migrations.RunSQL(APPEND_ONLY, CHANGEABLE),
    ]
