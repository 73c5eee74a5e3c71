from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0003_announcements")]

    operations = [
        migrations.AlterField(
            model_name="pluginversion",
            name="archive_path",
            field=models.CharField(
                help_text="Its name in quarantine, where it lies sealed.",
                max_length=300,
                verbose_name="archive",
            ),
        ),
    ]
