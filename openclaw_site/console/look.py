"""How django-unfold dresses the admin pages. The frame and the sidebar are ours (templates/shell)."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _


def _file(path: str) -> Any:
    def address(request: Any) -> str:
        from django.templatetags.static import static  # needs the settings, which import this module

        return static(path)

    return address


def sidebar(request: Any) -> list[dict[str, Any]]:
    """Unfold's own sidebar list is not used: templates/admin/nav_sidebar.html shows ours."""
    return []


# Words of django-unfold that its own Chinese catalogue lacks; ours has them, because they stand here.
UNFOLD_WORDS = (
    _("Type to search"),
    _("Select record"),
    _("Select all rows"),
    _("Filters"),
    _("Save and view"),
)

TEAL = {
    "50": "240 253 250",
    "100": "204 251 241",
    "200": "153 246 228",
    "300": "94 234 212",
    "400": "45 212 191",
    "500": "20 184 166",
    "600": "15 118 110",
    "700": "11 95 89",
    "800": "17 94 89",
    "900": "19 78 74",
    "950": "4 47 46",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "OpenClaw",
    "SITE_HEADER": "OpenClaw",
    "SITE_SUBHEADER": _("Console"),
    "SITE_URL": "/",
    "SITE_ICON": _file("openclaw/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("openclaw/mark.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": True,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "COLORS": {"primary": {step: f"rgb({value.replace(' ', ', ')})" for step, value in TEAL.items()}},
    "STYLES": [_file("openclaw/shell.css")],
    "SCRIPTS": [_file("openclaw/menu.js")],
    "SIDEBAR": {"show_search": False, "navigation": sidebar},
}
