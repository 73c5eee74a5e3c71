from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("review", "0002_row_security_and_verdicts")]

    operations = [
        migrations.AlterField(
            model_name="submission",
            name="archive_path",
            field=models.CharField(
                help_text="Its name in quarantine, where it lies sealed.",
                max_length=300,
                verbose_name="archive",
            ),
        ),
    ]
