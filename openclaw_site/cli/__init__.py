"""The `openclaw` command: what an operator, a partner and an edge site can do."""

from __future__ import annotations

import importlib

import click

from openclaw_site.config import ConfigError
from openclaw_site.runner.errors import RunnerError

# Loaded when asked for: a partner's `openclaw plugin validate` does not wait for the runner's imports.
COMMANDS = {
    "run": "openclaw_site.cli.site:run",
    "start": "openclaw_site.cli.site:start",
    "stop": "openclaw_site.cli.site:stop",
    "status": "openclaw_site.cli.site:status",
    "demo": "openclaw_site.cli.demo:demo",
    "migrate": "openclaw_site.cli.manage:migrate",
    "manage": "openclaw_site.cli.manage:manage",
    "messages": "openclaw_site.cli.messages:messages",
    "access": "openclaw_site.cli.access:access",
    "audit": "openclaw_site.cli.audit:audit",
    "devices": "openclaw_site.cli.devices:devices",
    "events": "openclaw_site.cli.events:events",
    "oversight": "openclaw_site.cli.oversight:oversight",
    "policies": "openclaw_site.cli.policies:policies",
    "privilege": "openclaw_site.cli.privilege:privilege",
    "break-glass": "openclaw_site.cli.break_glass:break_glass",
    "identity": "openclaw_site.cli.identity:identity",
    "ethics": "openclaw_site.cli.ethics:ethics",
    "data": "openclaw_site.cli.data:data",
    "keys": "openclaw_site.cli.keys:keys",
    "batch": "openclaw_site.cli.batch:batch",
    "rollout": "openclaw_site.cli.rollout:rollout",
    "experiment": "openclaw_site.cli.experiment:experiment",
    "capabilities": "openclaw_site.cli.capabilities:capabilities",
    "plugin": "openclaw_site.cli.plugin:plugin",
    "model-server": "openclaw_site.cli.model_server:model_server",
}


class LazyGroup(click.Group):
    """A command group that imports a command when it is used, and tells what stopped one in a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a known obstacle becomes one sentence and exit status 1."""
        try:
            return super().invoke(ctx)
        except (RunnerError, ConfigError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openclaw")
def main() -> None:
    """OpenClaw: an AI-assistant platform that runs on your own machines."""
