"""`python -m openclaw_site.cli`: the `openclaw` command without its console script."""

from openclaw_site.cli import main

main(prog_name="openclaw")
