"""System checks of the serving settings, so that a mistake is told at the start and not at the first prediction."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import onnxruntime
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from inference.serving.options import provider_name


@register(Tags.compatibility)
def check_execution_providers(**kwargs: Any) -> list[CheckMessage]:
    """Every listed execution provider is in the installed ONNX Runtime: none is left out silently."""
    there = onnxruntime.get_available_providers()
    missing = [
        name for name in settings.OPENCLAW_SERVING["execution_providers"] if provider_name(name) not in there
    ]
    if not missing:
        return []
    known = ", ".join(name.removesuffix("ExecutionProvider") for name in there)
    return [
        Error(
            f"OPENCLAW_EXECUTION_PROVIDERS lists {', '.join(missing)}, which the installed ONNX Runtime does not have.",
            hint=f"It has {known}. Install the build for your hardware, or list only what is there.",
            id="serving.E001",
        )
    ]


@register(Tags.security)
def check_remote_credentials(**kwargs: Any) -> list[CheckMessage]:
    """Nobody but the site's account reads the credentials of remote inference servers."""
    file = settings.OPENCLAW_SERVING["remote_credentials_file"]
    if file is None or not Path(file).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    return [
        Error(
            "OPENCLAW_REMOTE_INFERENCE_CREDENTIALS_FILE can be read by other accounts.",
            hint=f"Run: chmod 600 {file}",
            id="serving.E002",
        )
    ]
