"""The state tables of the marketplace, walked whole."""

from __future__ import annotations

import pytest

from marketplace.catalog.models import PartnerApplication, PluginVersion
from marketplace.catalog.states import APPLICATION_STATES, VERSION_STATES
from marketplace.review.models import Submission
from marketplace.review.states import SUBMISSION_STATES
from tests.states import assert_complete, assert_step, every_step

State = Submission.State

STEPS = {
    (source, target)
    for target, sources in {
        "checking": ["uploaded", "check_error"],
        "checks_failed": ["checking"],
        "check_error": ["checking"],
        "waiting_for_review": ["checking", "in_review"],
        "in_review": ["waiting_for_review", "second_review", "in_review", "waiting_for_publisher"],
        "waiting_for_publisher": ["in_review"],
        "second_review": ["in_review"],
        "waiting_for_ethics": ["in_review"],
        "approved": ["in_review", "waiting_for_ethics"],
        "publishing": ["approved"],
        "published": ["publishing"],
        "rejected": [
            "waiting_for_review",
            "in_review",
            "waiting_for_publisher",
            "second_review",
            "waiting_for_ethics",
        ],
        "withdrawn": [
            "uploaded",
            "checking",
            "check_error",
            "waiting_for_review",
            "in_review",
            "waiting_for_publisher",
            "second_review",
            "waiting_for_ethics",
        ],
    }.items()
    for source in sources
}


@pytest.mark.parametrize(("source", "target"), every_step(SUBMISSION_STATES))
def test_every_step_of_the_state_table(source, target):
    assert_step(SUBMISSION_STATES, source, target, STEPS)


def test_the_state_table_is_complete():
    assert_complete(SUBMISSION_STATES, State.values)
    assert {"published", "rejected", "withdrawn", "checks_failed"} == SUBMISSION_STATES.terminal


VERSION_STEPS = {
    ("submitted", "approved"),
    ("approved", "published"),
    ("approved", "blocked"),
    ("published", "blocked"),
    ("submitted", "rejected"),
    ("submitted", "withdrawn"),
}


@pytest.mark.parametrize(("source", "target"), every_step(VERSION_STATES))
def test_every_step_of_a_version(source, target):
    assert_step(VERSION_STATES, source, target, VERSION_STEPS)


@pytest.mark.parametrize(("source", "target"), every_step(APPLICATION_STATES))
def test_every_step_of_an_application(source, target):
    assert_step(APPLICATION_STATES, source, target, {("applied", "accepted"), ("applied", "refused")})


def test_the_other_tables_are_complete():
    assert_complete(VERSION_STATES, PluginVersion.State.values)
    assert_complete(APPLICATION_STATES, PartnerApplication.State.values)
