import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import governance.ids
from governance.tenants.rls import TenantRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("oversight", "0002_row_security"),
        ("tenants", "0003_elevated_roles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Withheld",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=governance.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        help_text="The right that is asked for again when it is fetched.",
                        max_length=100,
                        verbose_name="action",
                    ),
                ),
                ("holder_kind", models.CharField(max_length=10, verbose_name="kind of principal")),
                ("holder_id", models.CharField(max_length=100, verbose_name="principal")),
                ("context", models.JSONField(default=dict, verbose_name="what was said about the use")),
                (
                    "content",
                    models.BinaryField(
                        help_text="Sealed; erased when it is of no more use.",
                        null=True,
                        verbose_name="content",
                    ),
                ),
                ("content_type", models.CharField(max_length=60, verbose_name="content type")),
                (
                    "json_bytes",
                    models.PositiveIntegerField(
                        help_text="Where binary tensors follow.", null=True, verbose_name="bytes of JSON"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="kept until")),
                ("used_at", models.DateTimeField(blank=True, null=True, verbose_name="used")),
            ],
            options={
                "verbose_name": "withheld answer",
                "verbose_name_plural": "withheld answers",
            },
        ),
        migrations.AddField(
            model_name="oversighttask",
            name="asked_by",
            field=models.ForeignKey(
                blank=True,
                help_text="Whose question the machine answered, or who contests it; this person does not decide.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="asked by",
            ),
        ),
        migrations.AlterField(
            model_name="oversighttask",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "waiting"),
                    ("claimed", "somebody looks at it"),
                    ("decided", "decided"),
                    ("withdrawn", "withdrawn"),
                    ("lapsed", "nobody decided in time"),
                ],
                default="open",
                max_length=9,
                verbose_name="state",
            ),
        ),
        migrations.AddConstraint(
            model_name="oversighttask",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("decided_by__isnull", True),
                    ("asked_by__isnull", True),
                    models.Q(("decided_by", models.F("asked_by")), _negated=True),
                    _connector="OR",
                ),
                name="oversight_somebody_else_decides",
            ),
        ),
        migrations.AddField(
            model_name="withheld",
            name="task",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="withheld",
                to="oversight.oversighttask",
            ),
        ),
        migrations.AddField(
            model_name="withheld",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="withheld",
            index=models.Index(fields=["tenant", "expires_at"], name="oversight_withheld_until"),
        ),
        TenantRowSecurity("oversight_withheld"),
    ]
