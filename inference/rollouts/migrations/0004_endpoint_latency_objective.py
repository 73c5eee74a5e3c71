from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0003_rollouts_and_feedback")]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="latency_objective_ms",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="How long a request may wait for its turn; empty: as in the whole installation.",
                null=True,
                verbose_name="latency objective in milliseconds",
            ),
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("latency_objective_ms", None),
                    ("latency_objective_ms__range", (1, 600000)),
                    _connector="OR",
                ),
                name="rollouts_endpoint_objective_in_bounds",
            ),
        ),
    ]
