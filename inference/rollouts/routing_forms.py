"""Forms of routing rules and of versions that compete: what a person types, as the services take it.

The services alone judge it. What they refuse comes back with a JSON pointer, and is shown beside its field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from governance.errors import DomainError
from inference.rollouts.bandit_rollouts import BOUNDS, REWARDS, BanditPlan
from inference.rollouts.bandits.policies import Policy

DEFAULT = BanditPlan(versions=())
Rules = dict[str, list[dict[str, Any]]]


class ReasonedForm(forms.Form):
    """A form that says why."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": _("What do you expect to see?")}),
    )

    def refused(self, error: DomainError, places: Mapping[str, str]) -> None:
        """Show a refusal: beside the field that `places` names for its pointer, else above the form."""
        fields = [places.get(str(one.get("pointer"))) for one in error.errors]
        for field in fields or [None]:
            self.add_error(field, str(error))


class CohortForm(ReasonedForm):
    """One cohort. Its members stand one on a line."""

    name = forms.CharField(
        label=_("Name"),
        max_length=64,
        widget=forms.TextInput(attrs={"autocapitalize": "none"}),
        help_text=_(
            "Callers send it in the header X-OpenClaw-Cohort. Lower-case letters, digits and hyphens."
        ),
    )
    version = forms.ChoiceField(label=_("Answered by"))
    members = forms.CharField(
        label=_("Callers and sessions"),
        required=False,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "autocapitalize": "none"}),
        help_text=_("One on a line: the id of a caller, or what it sends in X-OpenClaw-Session."),
    )
    field_order = ("name", "version", "members", "reason")

    def __init__(self, *args: Any, versions: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose(self, "version", versions)

    @property
    def rule(self) -> dict[str, Any]:
        """As the service takes it."""
        given = self.cleaned_data
        members = [line.strip() for line in given["members"].splitlines()]
        return {
            "name": given["name"],
            "version": given["version"],
            "members": list(dict.fromkeys(filter(None, members))),
        }


class ShadowForm(ReasonedForm):
    """One shadow version."""

    version = forms.ChoiceField(label=_("Version"))
    percent = forms.IntegerField(
        label=_("Share of the requests, in percent"),
        initial=10,
        widget=forms.NumberInput(attrs={"class": "short", "min": 1, "max": 100}),
        help_text=_("Computed once more behind the answers; nobody is answered from it."),
    )
    field_order = ("version", "percent", "reason")

    def __init__(self, *args: Any, versions: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose(self, "version", versions)

    @property
    def rule(self) -> dict[str, Any]:
        """As the service takes it."""
        return {"version": self.cleaned_data["version"], "percent": self.cleaned_data["percent"]}


def choose(form: forms.Form, name: str, versions: Iterable[str]) -> None:
    """Let a field of the form choose among versions."""
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    field.choices = [(version, version) for version in versions]


def _bounds(name: str, *, scale: int = 1) -> dict[str, Any]:
    """The field's default, least and most, from the plan."""
    _kinds, low, high = BOUNDS[name]
    shown = getattr(DEFAULT, name) * scale
    return {
        "initial": f"{shown:g}",
        "min_value": low * scale,
        "max_value": high * scale,
        "widget": forms.NumberInput(attrs={"class": "short"} | ({"step": "any"} if scale > 1 else {})),
    }


class CompeteForm(ReasonedForm):
    """A bandit. Shares and rates are in percent here, and between 0 and 1 in its plan."""

    versions = forms.MultipleChoiceField(
        label=_("Versions that compete with the present one"), widget=forms.CheckboxSelectMultiple
    )
    policy = forms.ChoiceField(
        label=_("Policy"),
        choices=[
            (Policy.THOMPSON.value, _("Thompson sampling: shares by the chance to be the best")),
            (Policy.UCB1.value, _("UCB1: most to the highest upper bound")),
        ],
        initial=DEFAULT.policy,
    )
    reward = forms.ChoiceField(
        label=_("Judged by"),
        choices=list(
            zip(REWARDS, (_("the reward that callers send, 0 to 1"), _("tasks completed")), strict=True)
        ),
        initial=DEFAULT.reward,
    )
    floor = forms.IntegerField(
        label=_("Least share of each, in percent"),
        **_bounds("floor"),
        help_text=_("So that a version that was unlucky can come back."),
    )
    cap = forms.IntegerField(
        label=_("Greatest share of each new one, in percent"),
        **_bounds("cap"),
        help_text=_("The present version may always have more."),
    )
    holdout = forms.FloatField(
        label=_("Dealt out evenly whatever the rewards say, in percent"),
        **_bounds("holdout", scale=100),
        help_text=_("What honest estimates of each version are made from."),
    )
    gamma_per_hour = forms.FloatField(
        label=_("What a reward still counts an hour later, in percent"),
        **_bounds("gamma_per_hour", scale=100),
        help_text=_("100 forgets nothing; less follows a world that changes."),
    )
    error_tolerance = forms.FloatField(
        label=_("More errors put up with, in percentage points"),
        **_bounds("error_tolerance", scale=100),
        help_text=_("A version that fails more often than the present one by more than this is stopped."),
    )
    field_order = (
        "versions", "policy", "reward", "floor", "cap", "holdout", "gamma_per_hour", "error_tolerance", "reason",
    )  # fmt: skip

    def __init__(self, *args: Any, versions: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose(self, "versions", versions)

    @property
    def plan(self) -> dict[str, Any]:
        """As the service takes it."""
        given = self.cleaned_data
        shares = ("holdout", "gamma_per_hour", "error_tolerance")
        return {name: given[name] for name in ("policy", "reward", "floor", "cap")} | {
            name: round(given[name] / 100, 9) for name in shares
        }
