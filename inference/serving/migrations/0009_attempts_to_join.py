from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("serving", "0008_what_a_job_was_admitted_with")]

    operations = [
        migrations.AddField(
            model_name="batchjob",
            name="join_attempts",
            field=models.PositiveSmallIntegerField(default=0, verbose_name="attempts to join"),
        ),
        migrations.AddField(
            model_name="batchjob",
            name="joined_until",
            field=models.DateTimeField(
                help_text="As long as a worker says that it joins the parts of the result.",
                null=True,
                verbose_name="in joining until",
            ),
        ),
    ]
