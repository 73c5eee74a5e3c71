from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("policies", "0002_row_security_and_announcements")]

    operations = [
        migrations.AddField(
            model_name="decisionrecord",
            name="enforced",
            field=models.BooleanField(
                default=True,
                help_text="Not set where the answer only said what a page shows.",
                verbose_name="obeyed",
            ),
        ),
    ]
