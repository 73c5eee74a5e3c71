from django.db import migrations, models

# A pool of the platform keeps its name; a tenant's own gets the tenant's short name before it.
ADDRESSES = """
SELECT set_config('openclaw.scope', 'platform', true);
UPDATE data_computepool AS pool
SET address = CASE WHEN pool.shared THEN pool.name ELSE tenant.slug || '.' || pool.name END
FROM tenants_tenant AS tenant WHERE tenant.id = pool.tenant_id;
SELECT set_config('openclaw.scope', '', true);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("data", "0002_row_security"),
    ]

    operations = [
        migrations.AddField(
            model_name="computepool",
            name="address",
            field=models.CharField(
                editable=False,
                help_text="What its workers and queues are called; a tenant's own pool has its short name before it.",
                max_length=104,
                default="",
                verbose_name="address",
            ),
        ),
        migrations.RunSQL(ADDRESSES, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="computepool",
            name="address",
            field=models.CharField(
                editable=False,
                help_text="What its workers and queues are called; a tenant's own pool has its short name before it.",
                max_length=104,
                unique=True,
                verbose_name="address",
            ),
        ),
        migrations.AddField(
            model_name="placementrecord",
            name="on_data",
            field=models.BooleanField(
                default=True,
                help_text="Work that names no data stays at home.",
                verbose_name="names its data",
            ),
        ),
        migrations.AlterField(
            model_name="placementrecord",
            name="pool",
            field=models.CharField(
                blank=True, help_text="Empty: refused.", max_length=104, verbose_name="pool"
            ),
        ),
    ]
