from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("oversight", "0003_withheld_answers")]

    operations = [
        migrations.AddField(
            model_name="oversightrule",
            name="withhold",
            field=models.BooleanField(
                default=False,
                help_text="Such an answer is given only once a person has confirmed it.",
                verbose_name="withhold",
            ),
        ),
        migrations.AddConstraint(
            model_name="oversightrule",
            constraint=models.CheckConstraint(
                condition=Q(withhold=False) | Q(confidence_below__isnull=False),
                name="oversight_withholds_below_a_confidence",
            ),
        ),
    ]
