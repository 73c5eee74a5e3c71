"""The hot route's own metrics: bounded, whatever comes and goes behind an endpoint."""

from __future__ import annotations

from uuid import uuid4

from prometheus_client.metrics import MetricWrapperBase

from inference.serving.metrics import LATENCY, REQUESTS
from inference.serving.pool import ModelPool
from inference.serving.routing import Router
from tests.factories.onnx_models import ArmStub, EndpointStub


def versions(metric: MetricWrapperBase, of: str) -> set[str]:
    """The versions of an endpoint that have series of a metric."""
    return {
        sample.labels["version"]
        for family in metric.collect()
        for sample in family.samples
        if sample.labels["endpoint"] == of
    }


async def test_versions_that_are_gone_leave_no_series_behind(tmp_path) -> None:
    router, endpoint_id, name = Router(ModelPool()), uuid4(), f"swapped-{uuid4().hex}"

    def behind(*numbers: int) -> EndpointStub:
        arms = tuple(ArmStub(f"{number}", tmp_path / "none", "", (), ()) for number in numbers)
        return EndpointStub(name, arms, id=endpoint_id, tenant_id=endpoint_id)

    for number in range(50):
        route = router.route(behind(number, number + 1))
        for routed in route.arms:
            routed.metrics.answered(200, 0.01)
            routed.metrics.answered(503, 0.01)
    assert versions(LATENCY, name) == versions(REQUESTS, name) == {"49", "50"}
    late = route.arms[0].metrics
    router.route(behind(51))
    late.answered(200, 0.01)  # an answer that was under way
    assert versions(LATENCY, name) == {"51"}
