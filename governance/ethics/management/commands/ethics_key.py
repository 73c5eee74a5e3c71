"""`openclaw ethics key`: the public keys of evidence bundles."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from governance.ethics.bundles.signing import KEY, key_document
from governance.keys.providers import public_keys


class Command(BaseCommand):
    """A JSON list, as `verify-bundle --key` reads it."""

    help = "Print the public keys of evidence bundles."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps([key_document(key) for key in public_keys(KEY)], indent=2))
