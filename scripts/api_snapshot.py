"""Keeps docs/openapi.yaml equal to the API: `--check` (in `make check`) or `--write` (`make schema`)."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "docs" / "openapi.yaml"
LONGEST_DIFF = 60


def current_schema() -> str:
    """The OpenAPI document that the site serves, as YAML; raises when the generator warns about a view."""
    import django

    django.setup()
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiYamlRenderer

    schema = SchemaGenerator().get_schema(request=None, public=True)
    if GENERATOR_STATS:
        GENERATOR_STATS.emit_summary()
        raise SystemExit("The API has views that cannot be described (see above): annotate them.")
    return OpenApiYamlRenderer().render(schema, renderer_context={}).decode()


def main() -> int:
    """Compare or write; exit status 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openclaw_site.settings")
    schema = current_schema()
    if arguments.write:
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(schema, encoding="utf-8")
        return 0
    kept = SNAPSHOT.read_text(encoding="utf-8") if SNAPSHOT.exists() else ""
    if kept == schema:
        return 0
    diff = difflib.unified_diff(
        kept.splitlines(), schema.splitlines(), "docs/openapi.yaml", "the API now", n=2
    )
    print("\n".join(list(diff)[:LONGEST_DIFF]))
    print("The API changed. If that is wanted: make schema, and commit docs/openapi.yaml.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
