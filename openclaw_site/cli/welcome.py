"""What a person sees when the site is up: where it is and how to log in."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from openclaw_site.config import Config

ACCOUNTS = "demo-accounts.json"
PAGES = (
    ("Site", "/"),
    ("Console", "/console/"),
    ("Partner portal", "/partner/"),
    ("REST API", "/api/docs/"),
    ("Inference (OIP v2)", "/v2"),
    ("Metrics", "/metrics"),
)


def print_welcome(config: Config, console: Console, *, stop_with: str = "Ctrl-C") -> None:
    """Print the addresses, the demo's log-ins (if it has been played) and how to stop."""
    pages = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    for name, path in PAGES:
        pages.add_row(name, f"{config.public_url}{path}")
    console.print("\n[bold]OpenClaw is ready[/bold]")
    console.print(pages)
    accounts = demo_accounts(config)
    if accounts:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for heading in ("Log in as", "User name", "Password", "Tenant"):
            table.add_column(heading, overflow="fold")  # a password is never cut
        for account in accounts:
            role, *rest = (str(account.get(key, "")) for key in ("role", "username", "password", "tenant"))
            table.add_row(role.replace("_", " "), *rest)
        console.print()
        console.print(table)
        where = config.secrets.path(ACCOUNTS)
        console.print(f"These log-ins are random, made for this checkout: {where}", soft_wrap=True)
    else:
        console.print(
            "\nMake the first administrator: openclaw manage create_administrator NAME", soft_wrap=True
        )
    console.print(f"\nStop it with {stop_with}. Logs: {config.var / 'logs'}\n", soft_wrap=True)


def demo_accounts(config: Config) -> list[dict[str, Any]]:
    """The demo's accounts (role, username, password, tenant), empty before the demo was played."""
    path = config.secrets.path(ACCOUNTS)
    if not path.exists():
        return []
    data = json.loads(path.read_text(encoding="utf-8"))
    accounts = data["accounts"] if isinstance(data, dict) else data
    return [account for account in accounts if isinstance(account, dict)]
