"""Row security, and announcements of what no other migration covers: ended sessions, passwords, second factors.

Triggers, because these tables are written by libraries. A session is told by what stands in its row, which is a digest
of its key; where it were the key itself, its SHA-256 would be told. Only its end is: every commit with a NOTIFY waits
for the one before, and a session is written too often for that.
"""

from django.db import migrations

from governance.tenants.rls import TenantRowSecurity

SESSION = r"""
CREATE FUNCTION openclaw_announce_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('openclaw', 'session:' || CASE
        WHEN OLD.session_key ~ '^[0-9a-f]{40}$' THEN OLD.session_key
        ELSE encode(sha256(convert_to(OLD.session_key, 'UTF8')), 'hex') END);
    RETURN NULL;
END $$;
CREATE TRIGGER openclaw_announce AFTER DELETE ON django_session
    FOR EACH ROW EXECUTE FUNCTION openclaw_announce_session();
CREATE TRIGGER openclaw_announce_password AFTER UPDATE OF password ON tenants_user
    FOR EACH ROW WHEN (OLD.password IS DISTINCT FROM NEW.password)
    EXECUTE FUNCTION openclaw_announce('user', 'id');
CREATE TRIGGER openclaw_announce AFTER INSERT OR DELETE ON mfa_authenticator
    FOR EACH ROW EXECUTE FUNCTION openclaw_announce('user', 'user_id');
"""
BACK = """
DROP TRIGGER openclaw_announce ON mfa_authenticator;
DROP TRIGGER openclaw_announce_password ON tenants_user;
DROP TRIGGER openclaw_announce ON django_session;
DROP FUNCTION openclaw_announce_session();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0001_initial"),
        ("access", "0002_row_security_and_announcements"),
        ("sessions", "0001_initial"),
        ("mfa", "0001_initial"),
    ]

    operations = [
        TenantRowSecurity("events_transmitter"),
        TenantRowSecurity("events_receivedevent"),
        migrations.RunSQL(SESSION, BACK),
    ]
