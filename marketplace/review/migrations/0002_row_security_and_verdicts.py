from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

TABLES = [
    "review_submission",
    "review_submissionevent",
    "review_checksetting",
    "review_checkrun",
    "review_finding",
    "review_reviewdecision",
]
# A verdict's `submitted_by` is the submission's own `uploaded_by`, so the check constraint on the verdict compares the
# reviewer with the real submitter, whatever wrote the row.
REAL_SUBMITTER = """
ALTER TABLE review_reviewdecision ADD CONSTRAINT review_decision_submitter
    FOREIGN KEY (submission_id, submitted_by_id) REFERENCES review_submission (id, uploaded_by_id);
"""
ANY_SUBMITTER = "ALTER TABLE review_reviewdecision DROP CONSTRAINT review_decision_submitter;"
REFUSE_CHANGES = """
CREATE FUNCTION review_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Timelines and verdicts are append-only: % is refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER review_events_append_only BEFORE UPDATE OR DELETE ON review_submissionevent
    FOR EACH ROW EXECUTE FUNCTION review_refuse_change();
CREATE TRIGGER review_decisions_append_only BEFORE UPDATE OR DELETE ON review_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION review_refuse_change();
"""
ALLOW_CHANGES = """
DROP TRIGGER review_decisions_append_only ON review_reviewdecision;
DROP TRIGGER review_events_append_only ON review_submissionevent;
DROP FUNCTION review_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("review", "0001_initial")]

    operations = [
        *[TenantRowSecurity(table) for table in TABLES],
        migrations.RunSQL(REAL_SUBMITTER, ANY_SUBMITTER),
        migrations.RunSQL(REFUSE_CHANGES, ALLOW_CHANGES),
    ]
