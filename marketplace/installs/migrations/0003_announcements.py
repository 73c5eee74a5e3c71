"""Every process hears of an installation that is suspended, or works again, whoever wrote it."""

from django.db import migrations

CREATE = (
    "CREATE TRIGGER openclaw_announce AFTER UPDATE OF state ON installs_installation FOR EACH ROW "
    "WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION openclaw_announce('plugin', 'version_id')"
)


class Migration(migrations.Migration):
    dependencies = [
        ("installs", "0002_row_security"),
        ("access", "0002_row_security_and_announcements"),
    ]

    operations = [migrations.RunSQL(CREATE, "DROP TRIGGER openclaw_announce ON installs_installation")]
