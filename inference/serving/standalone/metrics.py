"""Prometheus metrics that only a model server has; those of the hot route are in `inference.serving.metrics`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

ENDPOINTS = Gauge("openclaw_model_server_endpoints", "Endpoints that answer.")
BROKEN = Gauge(
    "openclaw_model_server_broken_endpoints",
    "Endpoints whose newest form in the repository cannot be served; those that answered before still do.",
)
SWAPS = Counter("openclaw_model_server_swaps_total", "Endpoints put in place or exchanged while serving.")
READ_FAILURES = Counter(
    "openclaw_model_server_read_failures_total", "Times that the repository could not be read at all."
)
TOKENS = Gauge("openclaw_model_server_tokens", "Tokens in the token file.")
