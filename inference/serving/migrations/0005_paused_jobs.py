from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("serving", "0004_duties_of_a_job"),
    ]

    operations = [
        migrations.AddField(
            model_name="batchjob",
            name="paused_at",
            field=models.DateTimeField(null=True, verbose_name="paused"),
        ),
        migrations.AlterField(
            model_name="batchjob",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "queued"),
                    ("running", "running"),
                    ("paused", "paused"),
                    ("succeeded", "succeeded"),
                    ("failed", "failed"),
                    ("cancelled", "cancelled"),
                ],
                default="queued",
                max_length=10,
                verbose_name="state",
            ),
        ),
    ]
