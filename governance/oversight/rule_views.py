"""The page of one thing's oversight: which answers go to a person by themselves, and contesting a single one."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.oversight import ruling, tasking
from governance.oversight.models import OversightRule
from governance.oversight.stops import TYPES
from governance.refs import ObjectRef


class RuleForm(forms.Form):
    """What a person is asked, and when."""

    question = forms.CharField(label=gettext_lazy("What the person is asked"), max_length=500)
    options = forms.CharField(
        label=gettext_lazy("Possible answers, one per line"),
        widget=forms.Textarea(attrs={"rows": 3}),
        initial="confirm\nreject",
    )
    confidence_below = forms.FloatField(
        label=gettext_lazy("Ask when the confidence is below"),
        min_value=0,
        max_value=1,
        required=False,
        help_text=gettext_lazy(
            "From 0 to 1. Empty: only what is contested, or put into the queue by a program."
        ),
    )
    output = forms.CharField(
        label=gettext_lazy("Output with the probabilities"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("Empty: the last output that has one number per class."),
    )
    withhold = forms.BooleanField(
        label=gettext_lazy("Withhold such an answer until a person has confirmed it"),
        required=False,
        help_text=gettext_lazy("Otherwise it is given at once, marked with its task."),
    )
    due_minutes = forms.IntegerField(
        label=gettext_lazy("Minutes to decide"), min_value=1, max_value=43_200, initial=240
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: HttpRequest) -> HttpResponse:
    """Every rule of the tenant; with `?type=&id=&label=` the form for one endpoint or skill."""
    principal = principal_of(request)
    require(principal, "oversight.task.view")
    chosen = _chosen(request)
    known = OversightRule.objects.filter(target_type=chosen.type, target_id=chosen.id).first()
    form = RuleForm(request.POST or None, initial=_initial(known))
    if request.method == "POST":
        if TYPES.get(chosen.type) is None or not chosen.id or principal.tenant_id is None:
            raise InvalidInput(_("Say which endpoint or skill the rule is for."))
        if form.is_valid():
            given = form.cleaned_data
            ruling.save_rule(
                principal=principal,
                target=chosen,
                tenant_id=principal.tenant_id,
                **{**given, "options": given["options"].splitlines()},
            )
            messages.success(request, _("Saved. It counts from the next answer on."))
            return HttpResponseRedirect(reverse("oversight-rules"))
    context = {
        "rules": OversightRule.objects.order_by("target_label"),
        "chosen": chosen if TYPES.get(chosen.type) else None,
        "form": form,
        "may_manage": decide(principal, "oversight.rule.manage").allow,
        "may_contest": decide(principal, "oversight.task.open").allow,
    }
    return render(request, "oversight/rules.html", context)


@require_POST
def contest(request: HttpRequest) -> HttpResponse:
    """Put one decision of the endpoint or skill before a person."""
    chosen = _chosen(request)
    if TYPES.get(chosen.type) is None or not chosen.id:
        raise InvalidInput(_("Say which endpoint or skill decided."))
    task = tasking.contest(
        principal=principal_of(request),
        subject=chosen,
        decision_id=request.POST.get("decision", ""),
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, _("Contested. Somebody else will look at it."))
    return HttpResponseRedirect(reverse("oversight-task", args=[task.id]))


@require_POST
def remove(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    """Remove one."""
    ruling.remove_rule(principal=principal_of(request), rule_id=rule_id)
    messages.success(request, _("Removed."))
    return HttpResponseRedirect(reverse("oversight-rules"))


def _chosen(request: HttpRequest) -> ObjectRef:
    asked = request.GET
    return ObjectRef(asked.get("type", ""), asked.get("id", "")[:100], label=asked.get("label", "")[:200])


def _initial(rule: OversightRule | None) -> dict[str, object]:
    if rule is None:
        return {}
    return {
        "question": rule.question,
        "options": "\n".join(rule.options),
        "confidence_below": rule.confidence_below,
        "output": rule.output,
        "withhold": rule.withhold,
        "due_minutes": rule.due_minutes,
    }
