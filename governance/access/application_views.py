"""The page of a tenant's own OAuth 2.0 clients: make one (its secret is shown once), see them, disable one."""

from __future__ import annotations

from typing import Any
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
from governance.access.models import Application
from governance.access.redirects import check_personal_scopes, checked_redirects
from governance.access.requests import principal_of
from governance.access.scopes import SCOPES
from governance.access.services import create_application, disable_application, set_require_dpop
from governance.errors import InvalidInput
from governance.principals import Principal, Role

PARTNER_SCOPES = ("plugins:read", "plugins:write")


class ApplicationForm(forms.Form):
    """A new client. A partner's command line acts with the partner's own role, everything else with grants alone."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=120,
        help_text=gettext_lazy(
            "What the program is called among your people, for example “billing service”."
        ),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What its tokens may be used for"),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("A token can carry fewer scopes than these, never more."),
    )

    require_dpop = forms.BooleanField(
        label=gettext_lazy("Tokens must be bound to a key"),
        required=False,
        help_text=gettext_lazy(
            "The program then proves with every request that it holds its key (DPoP); a stolen token is of no use."
        ),
    )

    redirect_uris = forms.CharField(
        label=gettext_lazy("Where people return to"),
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy(
            "For a program that acts for people who authorise it: one https address per line. Without any it acts in "
            "its own name."
        ),
    )

    def clean(self) -> dict[str, Any]:
        """What the service would refuse is said beside its field."""
        given: dict[str, Any] = super().clean() or {}
        try:
            given["addresses"] = checked_redirects(given.get("redirect_uris", "").splitlines())
            check_personal_scopes(given.get("scopes", ()), given["addresses"])
        except InvalidInput as wrong:
            self.add_error("redirect_uris", f"{wrong.message} {wrong.hint}")
        return given

    def __init__(self, *args: object, principal: Principal, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        partner = principal.has_role(Role.PARTNER)
        names = PARTNER_SCOPES if partner else tuple(SCOPES)
        self.fields["scopes"].choices = [(name, f"{name} — {SCOPES[name]}") for name in names]  # type: ignore[attr-defined]
        if partner:
            self.fields["scopes"].initial = list(names)


@never_cache
@require_http_methods(["GET", "POST"])
def applications(request: HttpRequest) -> HttpResponse:
    """The list and the form in one page. The answer to a successful POST is the only place the secret ever appears."""
    principal = principal_of(request)
    require(principal, "access.application.view")
    may_manage = decide(principal, "access.application.manage").allow
    form = ApplicationForm(request.POST or None, principal=principal)
    made = None
    if request.method == "POST" and form.is_valid():
        made = create_application(
            principal=principal,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            require_dpop=form.cleaned_data["require_dpop"],
            redirect_uris=form.cleaned_data["addresses"],
            role=Role.PARTNER if principal.has_role(Role.PARTNER) else Role.SERVICE,
        )
        form = ApplicationForm(principal=principal)
    rows = Application.objects.filter(tenant_id=principal.tenant_id).order_by("disabled_at", "name")
    context = {
        "applications": rows,
        "form": form,
        "made": made,
        "may_manage": may_manage,
        "partner": principal.has_role(Role.PARTNER),
        "token_url": request.build_absolute_uri(reverse("oauth-token")),
    }
    return render(request, "access/applications.html", context)


@require_POST
def disable(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Disable a client for good."""
    application = disable_application(
        principal=principal_of(request),
        application_id=application_id,
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, _("“%(name)s” can no longer get or use tokens.") % {"name": application.name})
    return HttpResponseRedirect(reverse("applications"))


@require_POST
def require_dpop(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Give a client tokens that are bound to a key only, or both kinds again."""
    required = request.POST.get("required") == "yes"
    application = set_require_dpop(
        principal=principal_of(request), application_id=application_id, required=required
    )
    said = (
        _("“%(name)s” gets tokens only with a proof of its key; its other tokens have ended.")
        if required
        else _("“%(name)s” may get tokens without a proof again.")
    )
    messages.success(request, said % {"name": application.name})
    return HttpResponseRedirect(reverse("applications"))
