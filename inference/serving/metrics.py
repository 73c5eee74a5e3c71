"""Prometheus metrics of the hot route. Children are bound once per endpoint and version, not looked up per request."""

from __future__ import annotations

from uuid import UUID

from prometheus_client import Counter, Gauge, Histogram, values

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
BATCH_BUCKETS_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)

REQUESTS = Counter(
    "openclaw_inference_requests_total",
    "Inference requests by answer.",
    ["tenant", "endpoint", "version", "status"],
)
LATENCY = Histogram(
    "openclaw_inference_latency_seconds",
    "From the request's first byte read to its answer written.",
    ["tenant", "endpoint", "version"],
    buckets=LATENCY_BUCKETS_S,
)
BATCH_ROWS = Histogram(
    "openclaw_inference_batch_rows",
    "Rows computed together in one run of a model.",
    buckets=BATCH_BUCKETS_ROWS,
)
QUEUE_DEPTH = Gauge(
    "openclaw_inference_queue_depth",
    "Requests that wait for or run in a model.",
    multiprocess_mode="livesum",
)
LOADED_MODELS = Gauge(
    "openclaw_inference_loaded_models",
    "Model versions in memory, summed over processes.",
    multiprocess_mode="livesum",
)
LOAD_FAILURES = Counter("openclaw_inference_load_failures_total", "Model versions that could not be loaded.")
UNLOADED_FOR_ROOM = Counter(
    "openclaw_inference_models_evicted_total",
    "Model versions unloaded to make room for others within the memory budget.",
)
MODEL_MEMORY = Gauge(
    "openclaw_inference_model_memory_bytes",
    "What the loaded model versions count against the memory budget, summed over processes.",
    multiprocess_mode="livesum",
)
RUNTIME_CRASHES = Counter(
    "openclaw_inference_runtime_crashes_total", "Isolated runtimes that ended under a request."
)
SHED = Counter(
    "openclaw_inference_shed_total", "Requests refused early because they would have waited too long."
)
REFUSED = Counter(
    "openclaw_inference_refused_total", "Requests refused before an endpoint was chosen.", ["status"]
)
SHADOW_ANSWERS = Counter(
    "openclaw_inference_shadow_answers_total",
    "Requests that a shadow arm computed behind the answer, by how that went.",
    ["result"],
)
OUTCOMES_DROPPED = Counter(
    "openclaw_inference_outcomes_dropped_total", "Outcome records lost to a full buffer."
)
OUTCOMES_WRITTEN = Counter(
    "openclaw_inference_outcomes_written_total", "Outcome records written to the database."
)
INPUTS_DROPPED = Counter(
    "openclaw_inference_input_counts_dropped_total",
    "Rows counted for drift whose counts could not be written in time.",
)


class VersionMetrics:
    """The metrics of one version behind one endpoint."""

    __slots__ = ("_labels", "_latency", "_ok", "_statuses")

    def __init__(self, *, tenant_id: UUID, endpoint: str, version: str) -> None:
        self._labels = (str(tenant_id), endpoint, version)
        self._ok = REQUESTS.labels(*self._labels, "200")
        self._latency = LATENCY.labels(*self._labels)
        self._statuses = {"200"}

    def answered(self, status: int, latency_s: float) -> None:
        """Count one answer."""
        if status == 200:
            self._ok.inc()
        else:
            self._statuses.add(str(status))
            REQUESTS.labels(*self._labels, str(status)).inc()
        self._latency.observe(latency_s)

    def forget(self) -> None:
        """Drop the series of a version that is gone, so that a thousand versions do not fill the memory.

        Where several processes share their metrics through files, the library cannot: there they stay until a restart.
        """
        if values.ValueClass._multiprocess:
            return
        LATENCY.remove(*self._labels)
        for status in self._statuses:
            REQUESTS.remove(*self._labels, status)
