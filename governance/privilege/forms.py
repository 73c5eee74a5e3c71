"""What people fill in about rights."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from governance.access.services import ROLES_BY_KIND
from governance.principals import Role
from governance.privilege.models import PrivilegeSettings
from governance.tenants.labels import role_label
from governance.tenants.models import Tenant, User


def role_choices(kind: str) -> list[tuple[str, str]]:
    """The roles of a kind of tenant, as people read them."""
    roles = ROLES_BY_KIND[Tenant.Kind(kind)] - {Role.SERVICE}
    return [(role.value, role_label(role)) for role in sorted(roles)]


class ElevationForm(forms.Form):
    """A role for a while."""

    role = forms.ChoiceField(label=_("Role"))
    minutes = forms.IntegerField(label=_("For how many minutes"), min_value=1, max_value=1440, initial=60)
    reason = forms.CharField(
        label=_("What for"), widget=forms.Textarea(attrs={"rows": 3}), min_length=10, max_length=2000
    )

    def __init__(self, *args: object, kind: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["role"].choices = role_choices(kind)  # type: ignore[attr-defined]


class BreakGlassForm(forms.Form):
    """A role at once."""

    role = forms.ChoiceField(label=_("Role"))
    reason = forms.CharField(
        label=_("What is the emergency"),
        widget=forms.Textarea(attrs={"rows": 3}),
        min_length=10,
        max_length=2000,
    )

    def __init__(self, *args: object, roles: list[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["role"].choices = [(role, role_label(Role(role))) for role in roles]  # type: ignore[attr-defined]


class HolderForm(forms.Form):
    """Somebody who may break the glass."""

    person = forms.ModelChoiceField(label=_("Person"), queryset=User.objects.none())
    role = forms.ChoiceField(label=_("Role"))

    def __init__(self, *args: object, tenant: Tenant, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        people = User.objects.filter(memberships__tenant=tenant, is_service_account=False, is_active=True)
        self.fields["person"].queryset = people.distinct()  # type: ignore[attr-defined]
        self.fields["role"].choices = role_choices(tenant.kind)  # type: ignore[attr-defined]


class SettingsForm(forms.ModelForm):
    """A tenant's bounds."""

    class Meta:
        model = PrivilegeSettings
        fields = ["unused_after_days", "max_elevation_minutes", "break_glass_minutes"]
