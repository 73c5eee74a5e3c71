"""Prometheus metrics of rollouts. Labels are bounded: kinds, verdicts and actions, never names of tenants' things."""

from __future__ import annotations

from prometheus_client import Counter

LOOKS = Counter("openclaw_rollout_looks_total", "Looks at rollouts by verdict.", ["verdict"])
ENDED = Counter(
    "openclaw_rollout_ends_total", "Rollouts that the controller has ended by itself.", ["kind", "action"]
)
