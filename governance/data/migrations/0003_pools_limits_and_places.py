import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# A pool of the platform keeps its name; a tenant's own gets the tenant's short name before it.
ADDRESSES = """
SELECT set_config('openclaw.scope', 'platform', true);
UPDATE data_computepool AS pool
SET address = CASE WHEN pool.shared THEN pool.name ELSE tenant.slug || '.' || pool.name END
FROM tenants_tenant AS tenant WHERE tenant.id = pool.tenant_id;
SELECT set_config('openclaw.scope', '', true);
"""

# What was asked for before this was about labels and subjects alone.
WISHES = """
SELECT set_config('openclaw.scope', 'platform', true);
UPDATE data_declassification AS wish
SET from_region = asset.region, to_region = asset.region, from_purpose = asset.purpose, to_purpose = asset.purpose,
    from_retention_days = asset.retention_days, to_retention_days = asset.retention_days
FROM data_asset AS asset WHERE asset.id = wish.asset_id AND wish.state = 'requested';
SELECT set_config('openclaw.scope', '', true);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("data", "0002_row_security"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="asset",
            name="retention_tried_at",
            field=models.DateTimeField(
                blank=True,
                help_text="What could not be erased waits behind what was not tried yet.",
                null=True,
                verbose_name="retention last tried",
            ),
        ),
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
            model_name="declassification",
            name="from_purpose",
            field=models.CharField(blank=True, max_length=100, verbose_name="present purpose"),
        ),
        migrations.AddField(
            model_name="declassification",
            name="from_region",
            field=models.CharField(blank=True, max_length=60, verbose_name="present region"),
        ),
        migrations.AddField(
            model_name="declassification",
            name="from_retention_days",
            field=models.PositiveIntegerField(null=True, verbose_name="kept for days, at present"),
        ),
        migrations.AddField(
            model_name="declassification",
            name="to_purpose",
            field=models.CharField(blank=True, max_length=100, verbose_name="wanted purpose"),
        ),
        migrations.AddField(
            model_name="declassification",
            name="to_region",
            field=models.CharField(blank=True, max_length=60, verbose_name="wanted region"),
        ),
        migrations.AddField(
            model_name="declassification",
            name="to_retention_days",
            field=models.PositiveIntegerField(
                help_text="Empty: kept until somebody acts.", null=True, verbose_name="kept for days, then"
            ),
        ),
        migrations.AddField(
            model_name="erasure",
            name="lease_token",
            field=models.UUIDField(
                help_text="Of the worker that is at it; a second one leaves it alone.",
                null=True,
                verbose_name="lease",
            ),
        ),
        migrations.AddField(
            model_name="erasureplace",
            name="confirmed_by",
            field=models.ForeignKey(
                help_text="Who erased it by hand and says so.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="done by",
            ),
        ),
        migrations.AddField(
            model_name="erasureplace",
            name="confirmed_by_label",
            field=models.CharField(blank=True, max_length=200, verbose_name="done by"),
        ),
        migrations.AddField(
            model_name="placementrecord",
            name="kept_for",
            field=models.CharField(
                blank=True,
                help_text="The only use it may be put to.",
                max_length=100,
                verbose_name="purpose of the data",
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
        migrations.AddField(
            model_name="placementrecord",
            name="purpose",
            field=models.CharField(blank=True, max_length=100, verbose_name="stated purpose"),
        ),
        migrations.AlterField(
            model_name="erasureplace",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("found", "found"),
                    ("erased", "erased"),
                    ("key_destroyed", "key destroyed"),
                    ("nothing", "holds no data itself"),
                    ("must_retrain", "must be retrained"),
                    ("retained", "kept by legal duty"),
                    ("by_hand", "needs a person"),
                    ("done_by_hand", "done by hand"),
                ],
                default="found",
                max_length=14,
                verbose_name="outcome",
            ),
        ),
        migrations.AlterField(
            model_name="placementrecord",
            name="pool",
            field=models.CharField(
                blank=True, help_text="Empty: refused.", max_length=104, verbose_name="pool"
            ),
        ),
        migrations.RunSQL(WISHES, migrations.RunSQL.noop),
    ]
