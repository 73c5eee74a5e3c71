from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_row_security")]

    operations = [
        migrations.AlterField(
            model_name="modelversion",
            name="format",
            field=models.CharField(
                choices=[("onnx", "ONNX"), ("safetensors", "safetensors"), ("remote", "on another server")],
                max_length=12,
                verbose_name="format",
            ),
        )
    ]
