from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0004_torch_export_format")]

    operations = [
        migrations.AlterField(
            model_name="modelversion",
            name="format",
            field=models.CharField(
                choices=[
                    ("onnx", "ONNX"),
                    ("safetensors", "safetensors"),
                    ("torch-export", "torch.export"),
                    ("remote", "on another server"),
                    ("patterns", "verified patterns"),
                ],
                max_length=12,
                verbose_name="format",
            ),
        ),
    ]
