"""Console pages of the ground: tenants, people, memberships, applications and the audit log.

They live on the access floor because who may see them is a decision, and decisions are made here.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminPasswordToggleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from governance.access import services
from governance.access.admin_base import (
    DecisionInline,
    DecisionModelAdmin,
    link_to,
    short_digest,
)
from governance.access.models import Application
from governance.access.requests import principal_of
from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.tenants.labels import role_label
from governance.tenants.models import Membership, Tenant, User

# Rights come from memberships and grants only, and tokens are nobody's to look at: the pages that other apps bring for
# them ask `is_staff` and Django's permissions, which mean nothing here.
FOREIGN_APPS = {"auth", "oauth2_provider", "axes", "guardian", "account", "mfa", "socialaccount"}
for foreign in [m for m in admin.site._registry if m._meta.app_label in FOREIGN_APPS or m is Application]:
    admin.site.unregister(foreign)


@admin.display(description=gettext_lazy("role"), ordering="role")
def role(membership: Membership) -> str:
    """The role as people read it."""
    return role_label(Role(membership.role))


@admin.register(Tenant)
class TenantAdmin(DecisionModelAdmin):
    """Isolation domains. Suspending one stops everything its people and programs do, within a second."""

    view_action = "tenants.tenant.view"
    add_action = "tenants.tenant.manage"
    list_display = ("name", "slug", "kind", "created_at", "suspended_at")
    list_filter = ("kind", ("suspended_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "slug")
    actions = ("suspend", "resume")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        rows = super().get_queryset(request)
        principal = principal_of(request)
        return rows if principal.platform else rows.filter(pk=principal.tenant_id)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (
            ("name", "slug", "kind")
            if obj is None
            else ("name", "slug", "kind", "created_at", "suspended_at")
        )

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "kind":
            kwargs["choices"] = [c for c in Tenant.Kind.choices if c[0] != Tenant.Kind.PLATFORM]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Tenant], change: bool
    ) -> None:
        made = services.create_tenant(
            principal=principal_of(request), slug=obj.slug, name=obj.name, kind=obj.kind
        )
        obj.pk, obj.created_at = made.pk, made.created_at

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description=gettext_lazy("Suspend"), permissions=["suspend"])
    def suspend(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        """Stop the chosen tenants."""
        who, why = principal_of(request), _("suspended in the console")
        self.try_each(
            request,
            rows,
            lambda t: services.suspend_tenant(principal=who, tenant_id=t.pk, reason=why),
            _("Suspended"),
        )

    @admin.action(description=gettext_lazy("Resume"), permissions=["suspend"])
    def resume(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        """Let the chosen tenants work again."""
        who, why = principal_of(request), _("resumed in the console")
        self.try_each(
            request,
            rows,
            lambda t: services.resume_tenant(principal=who, tenant_id=t.pk, reason=why),
            _("Resumed"),
        )


class PersonForm(forms.ModelForm):
    """A new account, with its first role in the administrator's own tenant."""

    password = forms.CharField(
        label=gettext_lazy("First password"), widget=UnfoldAdminPasswordToggleWidget(), strip=False
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), widget=UnfoldAdminSelectWidget())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if password := data.get("password"):
            person = User(username=data.get("username", ""), email=data.get("email", ""))
            try:
                validate_password(password, person)
            except ValidationError as error:
                self.add_error("password", error)
        return data

    def validate_unique(self) -> None:
        """The service asks, for the name as it will be: a tenant's administrator must not learn of others' people."""

    class Meta:
        model = User
        fields = ("username", "email")
        widgets: ClassVar = {"username": UnfoldAdminTextInputWidget(), "email": UnfoldAdminEmailInputWidget()}


class MembershipInline(DecisionInline):
    """A person's roles, as far as row security shows them."""

    model = Membership
    fields = ("tenant", role, "created_at")
    readonly_fields = fields


@admin.register(User)
class PersonAdmin(DecisionModelAdmin):
    """People. A tenant administrator sees the members of the own tenant and nobody else: this is no directory."""

    view_action = "tenants.membership.view"
    add_action = "tenants.membership.manage"
    list_display = ("username", "full_name", "email", "is_active", "is_service_account", "last_login")
    list_filter = ("is_active", "is_service_account", "memberships__role")
    search_fields = ("username", "email", "first_name", "last_name")
    fields = (
        "username",
        "email",
        "first_name",
        "last_name",
        "is_active",
        "is_service_account",
        "language",
        "last_login",
        "date_joined",
    )
    inlines = (MembershipInline,)
    actions = ("disable", "enable")

    @admin.display(description=gettext_lazy("name"))
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows = super().get_queryset(request)
        principal = principal_of(request)
        if principal.platform:
            return rows
        return rows.filter(memberships__tenant_id=principal.tenant_id).distinct()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        principal = principal_of(request)
        assert principal.tenant_id is not None
        tenant = Tenant.objects.get(pk=principal.tenant_id)
        allowed = services.ROLES_BY_KIND[Tenant.Kind(tenant.kind)] - {Role.SERVICE}
        PersonForm.base_fields["role"].choices = [(r.value, role_label(r)) for r in sorted(allowed)]  # type: ignore[attr-defined]
        return PersonForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("username", "email", "password", "role")}),)
        return super().get_fieldsets(request, obj)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        principal = principal_of(request)
        assert principal.tenant_id is not None
        user = services.create_person(
            principal=principal,
            username=obj.username,
            password=form.cleaned_data["password"],
            email=obj.email,
        )
        services.add_membership(
            principal=principal,
            user=user,
            tenant_id=principal.tenant_id,
            role=Role(form.cleaned_data["role"]),
        )
        obj.pk, obj.username = user.pk, user.username

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return principal_of(request).has_role(Role.PLATFORM_ADMIN)

    @admin.action(description=gettext_lazy("Disable the account"), permissions=["disable"])
    def disable(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """Sessions and tokens of the chosen accounts stop working within a second."""
        self._set_active(request, rows, False, _("Disabled"))

    @admin.action(description=gettext_lazy("Enable the account"), permissions=["disable"])
    def enable(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """Let the chosen accounts sign in again."""
        self._set_active(request, rows, True, _("Enabled"))

    def _set_active(self, request: HttpRequest, rows: QuerySet[User], active: bool, done: str) -> None:
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda user: services.set_user_active(principal=who, user_id=user.pk, active=active),
            done,
        )


@admin.register(Membership)
class MembershipAdmin(DecisionModelAdmin):
    """Who has which role where."""

    view_action = "tenants.membership.view"
    add_action = "tenants.membership.manage"
    list_display = ("person", "tenant_link", role, "created_at")
    list_filter = ("role", "tenant__kind")
    search_fields = ("user__username", "tenant__name")
    list_select_related = ("user", "tenant")
    actions = ("remove",)

    @admin.display(description=gettext_lazy("person"), ordering="user__username")
    def person(self, membership: Membership) -> str:
        return membership.user.get_username()

    @admin.display(description=gettext_lazy("tenant"), ordering="tenant__name")
    def tenant_link(self, membership: Membership) -> str:
        return link_to(membership.tenant)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("user", "tenant", "role") if obj is None else ("person", "tenant_link", "role", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("person", "tenant_link", "role", "created_at")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        principal = principal_of(request)
        if not principal.platform and principal.tenant_id is not None:
            if db_field.name == "user":
                own = Membership.objects.filter(tenant_id=principal.tenant_id).values("user_id")
                kwargs["queryset"] = User.objects.filter(pk__in=own)
            if db_field.name == "tenant":
                kwargs["queryset"] = Tenant.objects.filter(pk=principal.tenant_id)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        made = services.add_membership(
            principal=principal_of(request), user=obj.user, tenant_id=obj.tenant_id, role=Role(obj.role)
        )
        obj.pk = made.pk

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description=gettext_lazy("Take the role away"), permissions=["remove"])
    def remove(self, request: HttpRequest, rows: QuerySet[Membership]) -> None:
        """Every process stops honouring the chosen roles within a second."""
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda m: services.remove_membership(principal=who, membership_id=m.pk),
            _("Taken away"),
        )


@admin.register(Application)
class ApplicationAdmin(DecisionModelAdmin):
    """OAuth 2.0 clients. New ones are made on the page “Applications”, which shows the secret once."""

    view_action = "access.application.view"
    list_display = ("name", "tenant_name", "client_id", "scopes", "disabled_at", "created")
    list_filter = (("disabled_at", admin.EmptyFieldListFilter), "created")
    search_fields = ("name", "client_id", "tenant__name")
    list_select_related = ("tenant",)
    fields = ("name", "tenant_name", "client_id", "scopes", "service_user", "created", "disabled_at")
    readonly_fields = ("tenant_name", "scopes")
    actions = ("disable",)

    @admin.display(description=gettext_lazy("tenant"), ordering="tenant__name")
    def tenant_name(self, application: Application) -> str:
        return application.tenant.name

    @admin.display(description=gettext_lazy("scopes"))
    def scopes(self, application: Application) -> str:
        return ", ".join(application.allowed_scopes)

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return principal_of(request).has_role(Role.PLATFORM_ADMIN, Role.TENANT_ADMIN)

    @admin.action(description=gettext_lazy("Disable for good"), permissions=["disable"])
    def disable(self, request: HttpRequest, rows: QuerySet[Application]) -> None:
        """Delete the tokens of the chosen clients and refuse new ones."""
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda a: services.disable_application(principal=who, application_id=a.pk),
            _("Disabled"),
        )


@admin.register(AuditEntry)
class AuditEntryAdmin(DecisionModelAdmin):
    """The append-only, hash-chained log. `openclaw audit verify` recomputes every chain."""

    view_action = "audit.entry.view"
    list_display = ("at", "actor_label", "action", "target_label", "decision", "reason", "tenant", "sequence")
    list_filter = ("decision", "actor_kind", ("at", admin.DateFieldListFilter), "target_type")
    search_fields = ("action", "actor_label", "target_label", "target_id", "request_id", "reason")
    list_select_related = ("tenant",)
    date_hierarchy = None
    fields = (
        "sequence",
        "at",
        "tenant",
        "actor_kind",
        "actor_label",
        "actor_id",
        "action",
        "decision",
        "reason",
        "target_type",
        "target_label",
        "target_id",
        "digest",
        "details",
        "request_id",
        "previous_hash",
        "entry_hash",
    )
    readonly_fields = ("digest",)

    @admin.display(description=gettext_lazy("digest"))
    def digest(self, entry: AuditEntry) -> str:
        return short_digest(entry.target_digest)
