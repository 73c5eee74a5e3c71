"""Whatever a person can have done with endpoints and rollouts has a command, or it says here why not."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import click
import pytest

import inference.rollouts
from openclaw_site.cli import main
from tests.site.meta.acts import is_face

INSIDE = "no act of its own: services call it as a part of theirs"
CONTROLLER = "the controller's step; a person promotes, resumes or rolls back"
WITHOUT = {
    "bandit_rollouts.weigh": CONTROLLER,
    "feedback.give_feedback": "a program tells it with the answer's id in hand: `Client.tell`",
    "lifecycle.keep": INSIDE,
    "lifecycle.move": INSIDE,
    "objectives.set_objective": "`openclaw manage set_latency_objective`",
    "rollout_services.advance": CONTROLLER,
    "rollout_services.begin_rollout": INSIDE,
    "rollout_services.set_shares": INSIDE,
    "routing_rules.restore_rules": INSIDE,
    "services.create_endpoint": "made once, in the console or by `POST /api/v1/endpoints/`",
    "services.grant_invoke": "a right, not traffic: the endpoint's page or `PUT …/grants/{application}`",
    "services.revoke_invoke": "as above",
    "splitting.write_change": INSIDE,
    "splitting.write_split": INSIDE,
}
OVER_REST = {
    "bandit_rollouts.start_bandit": "rollout compete",
    "experiment_rollouts.start_experiment": "experiment start",
    "experiment_rollouts.stop_arms": "experiment stop",
    "rollout_services.cancel_rollout": "rollout cancel",
    "rollout_services.hold": "rollout hold",
    "rollout_services.promote": "rollout promote",
    "rollout_services.resume": "rollout resume",
    "rollout_services.roll_back_rollout": "rollout roll-back",
    "rollout_services.start_rollout": "rollout start",
    "routing_rules.set_routing": "rollout routing",
    "services.roll_back": "rollout split",
    "services.set_split": "rollout split",
}


def acts():
    """Every public function that does something in somebody's name: it takes `principal` as a keyword."""
    found = set()
    for module in pkgutil.walk_packages(inference.rollouts.__path__, "inference.rollouts."):
        if is_face(module.name):
            continue
        for name, member in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or not inspect.isfunction(member) or member.__module__ != module.name:
                continue
            given = inspect.signature(member).parameters.get("principal")
            if given is not None and given.kind is given.KEYWORD_ONLY:
                found.add(f"{module.name.removeprefix('inference.rollouts.')}.{name}")
    return found


def test_every_act_has_a_command_or_a_reason():
    assert acts() == set(WITHOUT) | set(OVER_REST)


@pytest.mark.parametrize("command", sorted(set(OVER_REST.values())))
def test_it_is_a_command(command):
    group, step = command.split()
    found = main.get_command(click.Context(main), group)
    assert isinstance(found, click.Group)
    assert step in found.commands
