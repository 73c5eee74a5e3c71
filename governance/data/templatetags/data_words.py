"""The catalogue's words and colours in templates."""

from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.functional import Promise

from governance.data.words import KIND_NAMES, LABEL_TONES, SUBJECT_NAMES

register = template.Library()
_SUBJECTS = dict(SUBJECT_NAMES)


@register.filter
def kind_name(kind: str) -> str | Promise:
    """A kind of object as people call it."""
    return KIND_NAMES.get(kind, kind)


@register.filter
def subject_name(subject: str) -> str | Promise:
    """Whom or what data is about, as people call it."""
    return _SUBJECTS.get(subject, subject)


@register.filter
def label_tone(label: str) -> str:
    """The colour of a label."""
    return LABEL_TONES.get(label, "")


@register.filter
def of(mapping: Mapping[str, str], key: str) -> str:
    """The value of a key, or nothing."""
    return mapping.get(str(key), "")
