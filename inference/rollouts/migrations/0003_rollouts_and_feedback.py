"""Rollouts and their evidence, routing rules, feedback; what is known of each decision. Row security of the new tables."""

import django.db.models.deletion
from django.db import migrations, models

import governance.ids
from governance.tenants.rls import TenantRowSecurity

# Looks are the evidence for what was done to traffic, and feedback is corrected by a newer row: neither is rewritten.
# Feedback may go with its decision's record, by age or because a person's data is erased.
APPEND_ONLY = """
CREATE FUNCTION rollouts_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The table % is append-only: % is refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER rollouts_append_only BEFORE UPDATE OR DELETE ON rollouts_rolloutlook
    FOR EACH ROW EXECUTE FUNCTION rollouts_refuse_rewriting();
CREATE TRIGGER rollouts_no_truncate BEFORE TRUNCATE ON rollouts_rolloutlook
    FOR EACH STATEMENT EXECUTE FUNCTION rollouts_refuse_rewriting();
CREATE TRIGGER rollouts_append_only BEFORE UPDATE ON rollouts_feedback
    FOR EACH ROW EXECUTE FUNCTION rollouts_refuse_rewriting();
"""
CHANGEABLE = """
DROP TRIGGER rollouts_append_only ON rollouts_feedback;
DROP TRIGGER rollouts_no_truncate ON rollouts_rolloutlook;
DROP TRIGGER rollouts_append_only ON rollouts_rolloutlook;
DROP FUNCTION rollouts_refuse_rewriting();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0002_row_security"),
        ("rollouts", "0002_row_security_and_split"),
        ("tenants", "0003_elevated_roles"),
    ]

    operations = [
        migrations.CreateModel(
            name="Feedback",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=governance.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("decision_id", models.UUIDField(verbose_name="decision")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("label", "label"),
                            ("reward", "reward"),
                            ("task_completed", "task completed"),
                            ("satisfaction", "satisfaction"),
                            ("cost", "cost"),
                        ],
                        max_length=14,
                        verbose_name="kind",
                    ),
                ),
                ("text", models.CharField(blank=True, max_length=64, verbose_name="label")),
                ("number", models.FloatField(null=True, verbose_name="value")),
                ("key", models.CharField(max_length=64, verbose_name="idempotency key")),
                ("sender_id", models.CharField(max_length=64, verbose_name="sent by")),
                ("at", models.DateTimeField(verbose_name="received")),
            ],
            options={
                "verbose_name": "feedback",
                "verbose_name_plural": "feedback",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Rollout",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=governance.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("canary", "canary"),
                            ("blue_green", "blue-green"),
                            ("bandit", "bandit"),
                        ],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("holding", "waits for a person"),
                            ("promoted", "promoted"),
                            ("rolled_back", "rolled back"),
                            ("cancelled", "cancelled"),
                        ],
                        default="running",
                        max_length=11,
                        verbose_name="state",
                    ),
                ),
                (
                    "plan",
                    models.JSONField(
                        help_text="Steps, guardrails and error rate, as checked at the start.",
                        verbose_name="plan",
                    ),
                ),
                (
                    "before",
                    models.JSONField(
                        help_text="Percent by version; a way back leads here.", verbose_name="split before"
                    ),
                ),
                (
                    "step",
                    models.PositiveSmallIntegerField(default=0, help_text="From 0.", verbose_name="step"),
                ),
                ("step_started_at", models.DateTimeField(verbose_name="step since")),
                ("looks", models.PositiveIntegerField(default=0, verbose_name="looks")),
                ("looked_at", models.DateTimeField(blank=True, null=True, verbose_name="last look")),
                (
                    "memory",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="What the controller carries from look to look.",
                        verbose_name="memory",
                    ),
                ),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                ("ended_reason", models.TextField(blank=True, verbose_name="why it ended or waits")),
                ("started_by_kind", models.CharField(max_length=12, verbose_name="kind of actor")),
                ("started_by_id", models.CharField(blank=True, max_length=64, verbose_name="actor id")),
                ("started_by_label", models.CharField(max_length=200, verbose_name="started by")),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
            ],
            options={
                "verbose_name": "rollout",
                "verbose_name_plural": "rollouts",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="RolloutLook",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=governance.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("step", models.PositiveSmallIntegerField(verbose_name="step")),
                ("at", models.DateTimeField(verbose_name="time")),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("promote", "promote"),
                            ("hold", "hold"),
                            ("roll_back", "roll back"),
                            ("inconclusive", "inconclusive"),
                        ],
                        max_length=12,
                        verbose_name="verdict",
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("none", "nothing yet"),
                            ("advance", "next step"),
                            ("promote", "promoted"),
                            ("roll_back", "rolled back"),
                            ("ask", "asked a person"),
                            ("weigh", "shares moved"),
                        ],
                        max_length=9,
                        verbose_name="action",
                    ),
                ),
                ("reason", models.TextField(verbose_name="reason")),
                (
                    "judgement",
                    models.JSONField(
                        help_text="Each guardrail's check, and what was counted.", verbose_name="judgement"
                    ),
                ),
            ],
            options={
                "verbose_name": "look at a rollout",
                "verbose_name_plural": "looks at rollouts",
                "ordering": ["-number"],
            },
        ),
        migrations.RemoveIndex(
            model_name="outcomerecord",
            name="rollouts_outcome_figures",
        ),
        migrations.AddField(
            model_name="endpoint",
            name="routing",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="Cohorts that one version answers, and shadow versions; beside the split.",
                verbose_name="routing rules",
            ),
        ),
        migrations.AddField(
            model_name="outcomerecord",
            name="chosen",
            field=models.CharField(
                blank=True,
                choices=[
                    ("split", "the split"),
                    ("sticky", "the session"),
                    ("rule", "a rule"),
                    ("named", "the caller"),
                    ("stand_in", "nothing else was ready"),
                    ("shadow", "mirrored"),
                ],
                help_text="How the version came to answer; empty when none was chosen.",
                max_length=8,
                verbose_name="chosen by",
            ),
        ),
        migrations.AddField(
            model_name="outcomerecord",
            name="confidence",
            field=models.FloatField(null=True, verbose_name="confidence"),
        ),
        migrations.AddField(
            model_name="outcomerecord",
            name="mirror_of",
            field=models.UUIDField(
                help_text="The answer that this shadow's computation stands behind.",
                null=True,
                verbose_name="mirror of",
            ),
        ),
        migrations.AddField(
            model_name="outcomerecord",
            name="predicted",
            field=models.CharField(
                blank=True, help_text="Of a classification of one row.", max_length=64, verbose_name="class"
            ),
        ),
        migrations.AddField(
            model_name="outcomerecord",
            name="propensity",
            field=models.FloatField(
                help_text="The probability with which the version was chosen.",
                null=True,
                verbose_name="propensity",
            ),
        ),
        migrations.AlterField(
            model_name="splitchange",
            name="before",
            field=models.JSONField(
                help_text="Percent by version; of a change of rules, the rules.", verbose_name="before"
            ),
        ),
        migrations.AlterField(
            model_name="splitchange",
            name="kind",
            field=models.CharField(
                choices=[
                    ("create", "created"),
                    ("set", "set"),
                    ("routing", "rules set"),
                    ("roll_back", "rolled back"),
                ],
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AddIndex(
            model_name="outcomerecord",
            index=models.Index(
                fields=["endpoint", "at"],
                include=("tenant", "model_version", "status", "latency_us", "chosen"),
                name="rollouts_outcome_figures",
            ),
        ),
        migrations.AddField(
            model_name="feedback",
            name="endpoint",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="rollouts.endpoint",
                verbose_name="endpoint",
            ),
        ),
        migrations.AddField(
            model_name="feedback",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="rollout",
            name="candidate",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty where several versions compete.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.modelversion",
                verbose_name="new version",
            ),
        ),
        migrations.AddField(
            model_name="rollout",
            name="endpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rollouts",
                to="rollouts.endpoint",
                verbose_name="endpoint",
            ),
        ),
        migrations.AddField(
            model_name="rollout",
            name="stable",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.modelversion",
                verbose_name="stable version",
            ),
        ),
        migrations.AddField(
            model_name="rollout",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="splitchange",
            name="rollout",
            field=models.ForeignKey(
                blank=True,
                help_text="The rollout that made it; its changes are taken back together.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="changes",
                to="rollouts.rollout",
                verbose_name="rollout",
            ),
        ),
        migrations.AddField(
            model_name="rolloutlook",
            name="rollout",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="evidence",
                to="rollouts.rollout",
                verbose_name="rollout",
            ),
        ),
        migrations.AddField(
            model_name="rolloutlook",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="feedback",
            index=models.Index(
                fields=["decision_id", "kind", "-id"],
                include=("tenant", "text", "number"),
                name="rollouts_feedback_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="feedback",
            index=models.Index(fields=["endpoint", "at"], name="rollouts_feedback_endpoint"),
        ),
        migrations.AddConstraint(
            model_name="feedback",
            constraint=models.UniqueConstraint(
                fields=("tenant", "sender_id", "key", "kind"), name="rollouts_feedback_once_per_key"
            ),
        ),
        migrations.AddConstraint(
            model_name="feedback",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "label"), ("number", None), models.Q(("text", ""), _negated=True)),
                    models.Q(
                        models.Q(("kind", "label"), _negated=True), ("number__isnull", False), ("text", "")
                    ),
                    _connector="OR",
                ),
                name="rollouts_feedback_has_one_value",
            ),
        ),
        migrations.AddIndex(
            model_name="rollout",
            index=models.Index(
                condition=models.Q(("state", "running")),
                fields=["looked_at"],
                name="rollouts_rollout_running",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollout",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["running", "holding"])),
                fields=("endpoint",),
                name="rollouts_one_open_rollout",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["running", "holding"]), ("ended_at__isnull", False), _connector="XOR"
                ),
                name="rollouts_ended_rollout_has_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("candidate", None),
                    models.Q(("candidate", models.F("stable")), _negated=True),
                    _connector="OR",
                ),
                name="rollouts_candidate_is_another_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="rolloutlook",
            constraint=models.UniqueConstraint(fields=("rollout", "number"), name="rollouts_look_once"),
        ),
        TenantRowSecurity("rollouts_rollout"),
        TenantRowSecurity("rollouts_rolloutlook"),
        TenantRowSecurity("rollouts_feedback"),
        migrations.RunSQL(APPEND_ONLY, CHANGEABLE),
    ]
