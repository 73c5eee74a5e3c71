"""Every process hears of a version that is blocked, or published again, whoever wrote it."""

from django.db import migrations

CREATE = (
    "CREATE TRIGGER openclaw_announce AFTER UPDATE OF state ON catalog_pluginversion FOR EACH ROW "
    "WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION openclaw_announce('plugin', 'id')"
)


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0002_row_security"),
        ("access", "0002_row_security_and_announcements"),
    ]

    operations = [migrations.RunSQL(CREATE, "DROP TRIGGER openclaw_announce ON catalog_pluginversion")]
