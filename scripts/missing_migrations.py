"""Fails when a model changed without its migration (`make check`); asks no database, so it takes a second."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AREAS = ("governance", "inference", "skills", "marketplace", "openclaw_site")


def missing() -> list[str]:
    """One line per operation that `makemigrations` would write for our own apps."""
    import django

    django.setup()
    from django.apps import apps
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.state import ProjectState

    loader = MigrationLoader(None)
    ours = {app.label for app in apps.get_app_configs() if app.name.partition(".")[0] in AREAS}
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
    changes = detector.changes(graph=loader.graph, trim_to_apps=ours, convert_apps=ours)
    return [
        f"{label}: {operation.describe()}"
        for label, migrations in sorted(changes.items())
        if label in ours
        for migration in migrations
        for operation in migration.operations
    ]


def main() -> int:
    """Print what is missing; exit status 1 when anything is."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openclaw_site.settings")
    lines = missing()
    for line in lines:
        print(line)
    if lines:
        print("Models changed without a migration. Run: openclaw manage makemigrations", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
