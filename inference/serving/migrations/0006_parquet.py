from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("serving", "0005_paused_jobs"),
    ]

    operations = [
        migrations.AddField(
            model_name="batchjob",
            name="result_format",
            field=models.CharField(
                choices=[("jsonl", "JSON lines"), ("parquet", "Parquet")],
                default="jsonl",
                max_length=7,
                verbose_name="format of the result",
            ),
        ),
        migrations.AlterField(
            model_name="batchjob",
            name="format",
            field=models.CharField(
                choices=[("jsonl", "JSON lines"), ("csv", "CSV"), ("parquet", "Parquet")],
                max_length=7,
                verbose_name="format",
            ),
        ),
    ]
