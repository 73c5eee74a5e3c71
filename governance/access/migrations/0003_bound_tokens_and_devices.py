"""What tokens are bound to, and registered devices.

A binding goes with its token by a foreign key of the database, whoever deletes the token and whatever rows he sees.
A device that changes is announced as a change of its account: cached principals and open connections ask again.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import governance.ids
from governance.tenants.rls import TenantRowSecurity

BOUND = {
    "grant_id": "oauth2_provider_grant",
    "access_token_id": "oauth2_provider_accesstoken",
    "refresh_token_id": "oauth2_provider_refreshtoken",
}


def reference(column: str, table: str) -> migrations.RunSQL:
    name = f"access_tokenbinding_{column}_fk"
    return migrations.RunSQL(
        f"ALTER TABLE access_tokenbinding ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {table} (id) "
        "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE access_tokenbinding DROP CONSTRAINT {name}",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0002_row_security_and_announcements"),
        ("tenants", "0003_elevated_roles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        migrations.swappable_dependency(settings.OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL),
        migrations.swappable_dependency(settings.OAUTH2_PROVIDER_GRANT_MODEL),
        migrations.swappable_dependency(settings.OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="application",
            name="require_dpop",
            field=models.BooleanField(
                default=False,
                help_text="The client gets tokens only with a DPoP proof (RFC 9449), so that a stolen one is of no use.",
                verbose_name="tokens must be bound to a key",
            ),
        ),
        migrations.CreateModel(
            name="RegisteredDevice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=governance.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                (
                    "jkt",
                    models.CharField(
                        help_text="The thumbprint of its public key (RFC 7638).",
                        max_length=43,
                        verbose_name="key",
                    ),
                ),
                (
                    "posture",
                    models.CharField(
                        choices=[
                            ("unknown", "unknown"),
                            ("compliant", "compliant"),
                            ("not_compliant", "not compliant"),
                        ],
                        default="unknown",
                        max_length=20,
                        verbose_name="posture",
                    ),
                ),
                (
                    "posture_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="posture known since"),
                ),
                ("source", models.CharField(blank=True, max_length=120, verbose_name="told by")),
                ("registered_at", models.DateTimeField(auto_now_add=True, verbose_name="registered")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "device",
                "verbose_name_plural": "devices",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "user", "jkt"), name="access_device_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="TokenBinding",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=governance.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("jkt", models.CharField(blank=True, db_index=True, max_length=43, verbose_name="key")),
                ("factor", models.CharField(default="none", max_length=20, verbose_name="factor")),
                ("factor_at", models.DateTimeField(blank=True, null=True, verbose_name="time of the factor")),
                (
                    "access_token",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="binding",
                        to=settings.OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL,
                        verbose_name="access token",
                    ),
                ),
                (
                    "grant",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="binding",
                        to=settings.OAUTH2_PROVIDER_GRANT_MODEL,
                        verbose_name="authorisation code",
                    ),
                ),
                (
                    "refresh_token",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="binding",
                        to=settings.OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL,
                        verbose_name="refresh token",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "token binding",
                "verbose_name_plural": "token bindings",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("access_token__isnull", True),
                                ("grant__isnull", False),
                                ("refresh_token__isnull", True),
                            ),
                            models.Q(
                                ("access_token__isnull", False),
                                ("grant__isnull", True),
                                ("refresh_token__isnull", True),
                            ),
                            models.Q(
                                ("access_token__isnull", True),
                                ("grant__isnull", True),
                                ("refresh_token__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="access_binding_of_one_thing",
                    )
                ],
            },
        ),
        TenantRowSecurity("access_tokenbinding"),
        TenantRowSecurity("access_registereddevice"),
        *(reference(column, table) for column, table in BOUND.items()),
        migrations.RunSQL(
            "CREATE TRIGGER openclaw_announce AFTER DELETE OR UPDATE OF posture, revoked_at ON access_registereddevice "
            "FOR EACH ROW EXECUTE FUNCTION openclaw_announce('membership', 'user_id')",
            "DROP TRIGGER openclaw_announce ON access_registereddevice",
        ),
    ]
