"""Becoming a partner: the public application form, and the platform's decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_ratelimit.core import is_ratelimited

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import DomainError
from marketplace.catalog.models import PartnerApplication
from marketplace.catalog.partners import apply_as_partner, decide_application

DECIDED_SHOWN = 20


class JoinForm(forms.Form):
    """Who applies."""

    name = forms.CharField(label=gettext_lazy("Organisation"), max_length=200)
    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=63,
        help_text=gettext_lazy(
            "Lower-case letters, digits and hyphens. It is part of every download's address."
        ),
    )
    website = forms.URLField(
        label=gettext_lazy("Web site"), required=False, max_length=400, assume_scheme="https"
    )
    contact_email = forms.EmailField(label=gettext_lazy("Contact e-mail"))
    about = forms.CharField(
        label=gettext_lazy("What you want to publish"),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=4000,
        required=False,
    )
    username = forms.CharField(
        label=gettext_lazy("User name"),
        max_length=150,
        help_text=gettext_lazy("With it you sign in once the application is accepted."),
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        help_text=gettext_lazy("At least 12 characters."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """The form that anybody may send; accounts made here can do nothing until somebody accepts."""
    principal = principal_of(request)
    form = JoinForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        rate = settings.PARTNER_SIGN_UP_RATE
        if is_ratelimited(request, group="partner-join", key="ip", rate=rate, increment=True):
            form.add_error(None, _("Too many applications came from this address. Try again in an hour."))
        else:
            try:
                apply_as_partner(principal=principal, **form.cleaned_data)
            except DomainError as error:
                form.add_error(None, str(error))
            except ValidationError as error:
                form.add_error("password", error)
            else:
                return render(request, "catalog/join.html", {"sent": True})
    return render(request, "catalog/join.html", {"form": form})


@never_cache
@require_safe
def applications(request: HttpRequest) -> HttpResponse:
    """Who wants to become a partner."""
    principal = principal_of(request)
    require(principal, "catalog.application.view")
    rows = PartnerApplication.objects.select_related("applicant", "decided_by")
    waiting = rows.filter(state=PartnerApplication.State.APPLIED).order_by("applied_at")
    decided = rows.exclude(state=PartnerApplication.State.APPLIED).order_by("-decided_at")[:DECIDED_SHOWN]
    context: dict[str, Any] = {
        "waiting": waiting,
        "decided": decided,
        "may_decide": decide(principal, "catalog.application.decide").allow,
    }
    return render(request, "catalog/applications.html", context)


@require_POST
def decide_partner(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Accept or refuse an application."""
    accept = request.POST.get("verdict") == "accept"
    decided = decide_application(
        principal=principal_of(request),
        application_id=application_id,
        accept=accept,
        reason=request.POST.get("reason", ""),
    )
    text = _("“%(name)s” is a partner now.") if accept else _("The application of “%(name)s” was refused.")
    messages.success(request, text % {"name": decided.name})
    return HttpResponseRedirect(reverse("partner-applications"))
