from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("serving", "0003_sealed_results"),
    ]

    operations = [
        migrations.AddField(
            model_name="batchjob",
            name="duties",
            field=models.JSONField(
                default=list,
                help_text="The obligations of the decision that admitted it.",
                verbose_name="duties",
            ),
        ),
    ]
