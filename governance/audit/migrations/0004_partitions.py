"""The log by months: a partitioned table in the plain one's place, and what may be done to it, kept by the database.

The app role may insert and read, nothing else. Three functions that belong to the owner (SECURITY DEFINER) do what
the app role must be able to ask for and must never be able to do freely: make partitions ahead, remove the beginning
of a chain that a signed cut describes, and drop months that are empty.
"""

from django.db import migrations, models
from django.db.models import Q

from governance.tenants.rls import TenantRowSecurity

PARTITIONED = """
SELECT set_config('openclaw.scope', 'platform', true);
ALTER TABLE audit_auditentry RENAME TO audit_auditentry_whole;
CREATE TABLE audit_auditentry (LIKE audit_auditentry_whole INCLUDING DEFAULTS) PARTITION BY RANGE (at);
CREATE TABLE audit_auditentry_default PARTITION OF audit_auditentry DEFAULT;
CREATE UNIQUE INDEX audit_auditentry_default_once ON audit_auditentry_default (tenant_id, sequence);
"""

FUNCTIONS = """
CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Only the owner's own functions below run as the owner and say so; the app role cannot become the owner.
    IF TG_OP = 'DELETE' AND current_setting('openclaw.audit_function', true) = 'on'
       AND pg_get_userbyid((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID)) = current_user THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit log is append-only: % is refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION audit_keep_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR OLD.released_at IS NOT NULL OR NEW.released_at IS NULL OR NEW.released_by_id IS NULL
       OR (NEW.id, NEW.tenant_id, NEW.reason, NEW.set_by_id, NEW.set_at)
          IS DISTINCT FROM (OLD.id, OLD.tenant_id, OLD.reason, OLD.set_by_id, OLD.set_at)
       OR NEW.from_at IS DISTINCT FROM OLD.from_at OR NEW.to_at IS DISTINCT FROM OLD.to_at THEN
        RAISE EXCEPTION 'A legal hold can only be released: % is refused.', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

-- Rights on a partition are nobody's: rows are reached through the parent, whose rights and policies count.
CREATE FUNCTION audit_close_partition(partition text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    condition text := $c$tenant_id = (SELECT NULLIF(current_setting('openclaw.tenant', true), '')::uuid)
        OR (SELECT current_setting('openclaw.scope', true) = 'platform')$c$;
    holder record;
BEGIN
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', partition);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE POLICY tenant_isolation ON public.%I USING (%s) WITH CHECK (%s)',
                   partition, condition, condition);
    EXECUTE format('CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON public.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.audit_refuse_change()', partition);
    FOR holder IN
        SELECT DISTINCT a.grantee, pg_get_userbyid(a.grantee) AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = format('public.%I', partition)::regclass AND a.grantee <> c.relowner
    LOOP
        IF holder.grantee = 0 THEN
            EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', partition);
        ELSE
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', partition, holder.role);
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION audit_make_partition(month date) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month);
    lower_bound timestamptz := first::timestamp AT TIME ZONE 'UTC';
    upper_bound timestamptz := (first + interval '1 month')::timestamp AT TIME ZONE 'UTC';
    name text := 'audit_auditentry_' || to_char(first, 'YYYYMM');
    scope text := coalesce(current_setting('openclaw.scope', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(7023001, 1);
    IF to_regclass(format('public.%I', name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_auditentry INCLUDING DEFAULTS)', name);
    EXECUTE format('CREATE UNIQUE INDEX %I ON public.%I (tenant_id, sequence)', name || '_once', name);
    -- What came before its month had a partition waits in the default one; it must move, or the month cannot be made.
    LOCK TABLE public.audit_auditentry_default IN ACCESS EXCLUSIVE MODE;
    PERFORM set_config('openclaw.scope', 'platform', true);
    PERFORM set_config('openclaw.audit_function', 'on', true);
    EXECUTE format('WITH moved AS (DELETE FROM public.audit_auditentry_default WHERE at >= $1 AND at < $2 RETURNING *)'
                   ' INSERT INTO public.%I SELECT * FROM moved', name) USING lower_bound, upper_bound;
    PERFORM set_config('openclaw.audit_function', '', true);
    PERFORM set_config('openclaw.scope', scope, true);
    EXECUTE format('ALTER TABLE public.audit_auditentry ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, lower_bound, upper_bound);
    PERFORM audit_close_partition(name);
    RETURN true;
END $$;

CREATE FUNCTION audit_ensure_partitions(ahead integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    present date := date_trunc('month', now() AT TIME ZONE 'UTC');
    made integer := 0;
    month date;
BEGIN
    IF ahead IS NULL OR ahead < 0 OR ahead > 24 THEN
        RAISE EXCEPTION 'Between 0 and 24 months ahead, not %.', ahead;
    END IF;
    FOR month IN SELECT (present + make_interval(months => n))::date FROM generate_series(0, ahead) n LOOP
        made := made + audit_make_partition(month)::integer;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION audit_apply_cut(cut_id uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    cut public.audit_chaincut%ROWTYPE;
    keep_days integer;
    newest timestamptz;
    entries bigint;
    scope text := coalesce(current_setting('openclaw.scope', true), '');
BEGIN
    PERFORM set_config('openclaw.scope', 'platform', true);
    SELECT * INTO cut FROM public.audit_chaincut WHERE id = cut_id;
    IF NOT FOUND OR cut.signature = '' THEN
        RAISE EXCEPTION 'There is no such signed cut.';
    END IF;
    SELECT days INTO keep_days FROM public.audit_retentionpolicy WHERE tenant_id = cut.tenant_id;
    SELECT max(at), count(*) INTO newest, entries
        FROM public.audit_auditentry WHERE tenant_id = cut.tenant_id AND sequence <= cut.through;
    IF keep_days IS NULL OR keep_days < 180 OR newest >= now() - make_interval(days => keep_days) THEN
        RAISE EXCEPTION 'The retention of this tenant keeps these entries.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- A shared lock on the tenant's row, which setting a hold takes exclusively: no hold can arrive in between.
    PERFORM 1 FROM public.tenants_tenant WHERE id = cut.tenant_id FOR SHARE;
    IF EXISTS (SELECT 1 FROM public.audit_legalhold
               WHERE tenant_id = cut.tenant_id AND released_at IS NULL
                 AND (from_at IS NULL OR from_at <= newest)) THEN
        RAISE EXCEPTION 'A legal hold keeps these entries.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF entries = 0 OR entries <> cut.removed OR NOT EXISTS (
        SELECT 1 FROM public.audit_auditentry WHERE tenant_id = cut.tenant_id AND sequence = cut.through
                                                AND entry_hash = cut.last_hash) THEN
        RAISE EXCEPTION 'The cut does not describe the beginning of this chain.';
    END IF;
    PERFORM set_config('openclaw.audit_function', 'on', true);
    DELETE FROM public.audit_auditentry WHERE tenant_id = cut.tenant_id AND sequence <= cut.through;
    DELETE FROM public.audit_signedhead WHERE tenant_id = cut.tenant_id AND sequence < cut.through;
    PERFORM set_config('openclaw.audit_function', '', true);
    PERFORM set_config('openclaw.scope', scope, true);
    RETURN entries;
END $$;

CREATE FUNCTION audit_drop_empty_partitions() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    name text;
    full_of_rows boolean;
    scope text := coalesce(current_setting('openclaw.scope', true), '');
BEGIN
    PERFORM set_config('openclaw.scope', 'platform', true);
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.audit_auditentry'::regclass AND c.relname ~ '^audit_auditentry_[0-9]{6}$'
          AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' < now() - interval '180 days'
        ORDER BY c.relname
    LOOP
        EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', name);
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%I)', name) INTO full_of_rows;
        IF NOT full_of_rows THEN
            EXECUTE format('DROP TABLE public.%I', name);
            RETURN NEXT name;
        END IF;
    END LOOP;
    PERFORM set_config('openclaw.scope', scope, true);
END $$;
"""

MOVED = """
DO $$
DECLARE
    before bigint;
    after bigint;
    month date;
BEGIN
    SELECT count(*) INTO before FROM audit_auditentry_whole;
    FOR month IN SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC')::date FROM audit_auditentry_whole LOOP
        PERFORM audit_make_partition(month);
    END LOOP;
    PERFORM audit_ensure_partitions(3);
    INSERT INTO audit_auditentry SELECT * FROM audit_auditentry_whole;
    SELECT count(*) INTO after FROM audit_auditentry;
    IF before <> after THEN
        RAISE EXCEPTION 'The log had % entries and would have %: nothing was changed.', before, after;
    END IF;
END $$;
DROP TABLE audit_auditentry_whole;
ALTER TABLE audit_auditentry ADD PRIMARY KEY (id, at);
ALTER TABLE audit_auditentry ADD CONSTRAINT audit_auditentry_tenant_id_fk FOREIGN KEY (tenant_id)
    REFERENCES tenants_tenant (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX audit_tenant_at ON audit_auditentry (tenant_id, at DESC, sequence DESC);
CREATE INDEX audit_at ON audit_auditentry (at DESC, sequence DESC);
CREATE INDEX audit_target ON audit_auditentry (target_type, target_id);
CREATE INDEX audit_actor ON audit_auditentry (actor_id, at DESC);
CREATE INDEX audit_action ON audit_auditentry (action varchar_pattern_ops, at DESC);
CREATE INDEX audit_request ON audit_auditentry (request_id) WHERE NOT request_id = '';
UPDATE audit_audithead h SET at = (
    SELECT e.at FROM audit_auditentry e WHERE e.tenant_id = h.tenant_id AND e.sequence = h.sequence);
"""

TRIGGERS = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
SELECT audit_close_partition('audit_auditentry_default');
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_signedhead
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_signedhead
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_chaincut
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_chaincut
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_append_only BEFORE DELETE ON audit_audithead
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_release_only BEFORE UPDATE OR DELETE ON audit_legalhold
    FOR EACH ROW EXECUTE FUNCTION audit_keep_hold();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_legalhold
    FOR EACH STATEMENT EXECUTE FUNCTION audit_keep_hold();
"""

# The functions are open to whom the parent's rows are open, and to nobody else.
RIGHTS = """
DO $$
DECLARE
    holder record;
    callable text;
BEGIN
    REVOKE ALL ON FUNCTION audit_make_partition(date), audit_close_partition(text),
        audit_ensure_partitions(integer), audit_apply_cut(uuid), audit_drop_empty_partitions() FROM PUBLIC;
    FOR holder IN
        SELECT DISTINCT a.grantee, pg_get_userbyid(a.grantee) AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'audit_audithead'::regclass AND a.grantee <> 0 AND a.privilege_type = 'INSERT'
    LOOP
        FOREACH callable IN ARRAY ARRAY['audit_ensure_partitions(integer)', 'audit_apply_cut(uuid)',
                                        'audit_drop_empty_partitions()'] LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', callable, holder.role);
        END LOOP;
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_signed_heads")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(PARTITIONED),
                migrations.RunSQL(FUNCTIONS),
                migrations.RunSQL(MOVED),
                TenantRowSecurity("audit_auditentry"),
                migrations.RunSQL(TRIGGERS),
                migrations.RunSQL(RIGHTS),
            ],
            state_operations=[
                migrations.RemoveConstraint(
                    model_name="auditentry",
                    name="audit_sequence_once",
                ),
                migrations.RemoveIndex(
                    model_name="auditentry",
                    name="audit_tenant_at",
                ),
                migrations.AddIndex(
                    model_name="auditentry",
                    index=models.Index(fields=["tenant", "-at", "-sequence"], name="audit_tenant_at"),
                ),
                migrations.AddIndex(
                    model_name="auditentry",
                    index=models.Index(fields=["-at", "-sequence"], name="audit_at"),
                ),
                migrations.AddIndex(
                    model_name="auditentry",
                    index=models.Index(fields=["actor_id", "-at"], name="audit_actor"),
                ),
                migrations.AddIndex(
                    model_name="auditentry",
                    index=models.Index(
                        fields=["action", "-at"],
                        name="audit_action",
                        opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                    ),
                ),
                migrations.AddIndex(
                    model_name="auditentry",
                    index=models.Index(
                        condition=Q(("request_id", ""), _negated=True),
                        fields=["request_id"],
                        name="audit_request",
                    ),
                ),
            ],
        ),
    ]
