"""Prometheus metrics of skill calls."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter("openclaw_skill_calls_total", "Calls of skills by outcome.", ["tenant", "skill", "status"])
SECONDS = Histogram(
    "openclaw_skill_call_seconds",
    "From the start of the confined process to its end.",
    ["tenant", "skill"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RUNNING = Gauge("openclaw_skill_running", "Confined processes that run now.", multiprocess_mode="livesum")
REFUSED = Counter("openclaw_skill_refused_total", "Calls refused because too many were running.")
