"""One admitted prediction: body, split, tensors, micro-batch, answer; counted and remembered behind the answer."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from governance.ethics.use import UNSAID, Use
from governance.ids import uuid7
from inference.serving import metrics
from inference.serving.datatypes import Tensors
from inference.serving.entries import CallerGone
from inference.serving.errors import Overloaded, ProtocolError, would_wait
from inference.serving.fairness import Shares
from inference.serving.http import (
    BINARY,
    BodyReader,
    Receive,
    RequestHeaders,
    Send,
    discard_body,
    respond,
    respond_error,
    wait_for_disconnect,
)
from inference.serving.lookups import Caller, EndpointSnapshot
from inference.serving.outcomes import Outcome, OutcomeLog
from inference.serving.pool import ServedModel
from inference.serving.protocol import InferenceRequest, OutputTensor, encode_response, parse_request
from inference.serving.referrals import AnswerWithheld, Refer, Referral, referral_of
from inference.serving.routing import SPLIT, STICKY, Route, RoutedArm, Router
from inference.serving.runtime import PredictError
from inference.serving.shadows import Shadows

log = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST = 499
MAX_REMEMBERED_ID = 64
FAIR = (SPLIT, STICKY)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request and one caller may ask for. Times in seconds."""

    body_bytes: int = 32 * 1024 * 1024
    timeout_s: float = 30.0
    body_s: float = 30.0
    caller_in_flight: int = 256
    tenant_in_flight: int = 1024
    in_flight: int = 2048
    maintenance_interval_s: float = 60.0


@dataclass(slots=True)
class Prediction:
    """An admitted request, and what is known about it so far. `started` is on `time.perf_counter`'s clock."""

    started: float
    caller: Caller
    endpoint: EndpointSnapshot
    headers: RequestHeaders
    version: str = ""
    duties: tuple[str, ...] = ()
    use: Use = UNSAID
    id: UUID = field(default_factory=uuid7)
    request_id: str = ""
    bytes_in: int = 0
    rows: int = 0
    routed: RoutedArm | None = None
    chosen: str = ""
    propensity: float | None = None
    predicted: str = ""
    confidence: float | None = None
    mirrored: tuple[Route, Tensors] | None = None


class Predictor:
    """Answers admitted requests."""

    def __init__(
        self, router: Router, outcomes: OutcomeLog | None, limits: Limits, refer: Refer | None = None
    ) -> None:
        self._refer = refer
        self._router = router
        self._outcomes = outcomes
        self._limits = limits
        self._shadows = Shadows(router, outcomes)
        self._bodies = BodyReader(limit=limits.body_bytes, timeout_s=limits.body_s)
        self._shares = Shares(total=limits.in_flight, per_tenant=limits.tenant_in_flight)

    async def close(self) -> None:
        """Wait for what is computed behind answers."""
        await self._shadows.close()

    async def answer(self, prediction: Prediction, receive: Receive, send: Send) -> None:
        """Send the prediction or a refusal, then remember which. Raises Overloaded (429) to a caller with too many."""
        caller = prediction.caller
        if caller.in_flight >= self._limits.caller_in_flight:
            await discard_body(receive, limit=self._limits.body_bytes)
            raise Overloaded(
                f"you have {caller.in_flight} requests under way, which is the most allowed", status=429
            )
        try:
            self._shares.enter(prediction.endpoint.tenant_id)
        except Overloaded:
            await discard_body(receive, limit=self._limits.body_bytes)
            raise
        caller.in_flight += 1
        status = 500
        try:
            body, json_length = await self._compute(prediction, receive)
            status = 200
            if json_length is None:
                await respond(send, 200, body)
            else:
                length = (b"inference-header-content-length", b"%d" % json_length)
                await respond(send, 200, body, (BINARY, length))
        except ProtocolError as error:
            status = error.status
            await respond_error(send, error)
        except CallerGone:
            status = CLIENT_CLOSED_REQUEST
        finally:
            caller.in_flight -= 1
            self._shares.leave(prediction.endpoint.tenant_id)
            self._remember(prediction, status)

    async def _compute(self, prediction: Prediction, receive: Receive) -> tuple[bytes, int | None]:
        """The answer's body, and the size of its JSON part when binary tensors follow."""
        headers = prediction.headers
        body = await self._bodies.read(receive, headers)
        prediction.bytes_in = len(body)
        route = self._router.route(prediction.endpoint)
        _refuse_unparsed(prediction, route, body)
        request = parse_request(body, headers.json_length)
        prediction.request_id = request.id or headers.request_id.decode("latin-1")
        session = headers.session.decode("latin-1") or str(request.parameters.get("session_id", ""))
        prediction.routed, model, prediction.chosen, prediction.propensity = await self._router.pick(
            route,
            version=prediction.version,
            session=session,
            cohort=headers.cohort.decode("latin-1"),
            caller=prediction.caller.principal.id,
        )
        # From here to the queue nothing waits, so the model cannot be unloaded in between.
        inputs = request.tensors(model.signature)
        wanted = request.outputs(model.signature)
        prediction.rows = count_rows(model, inputs)
        try:
            outputs = await model.batcher.predict(
                inputs,
                rows=prediction.rows,
                deadline=time.monotonic() + self._timeout_s(request),
                gone=lambda: wait_for_disconnect(receive),
                tenant=prediction.endpoint.tenant_id,
                patient="timeout" in request.parameters,
            )
        except PredictError as error:
            log.warning("model version %s failed on an input: %s", model.version_id, error)
            raise ProtocolError(
                400 if error.invalid_input else 500,
                "the model cannot compute this input, although its form is as declared",
            ) from None
        if prediction.rows == 1:
            prediction.predicted, prediction.confidence = prediction.routed.classes.read(outputs)
        # As everywhere: only what the split or a session decided is a fair sample of what comes in.
        if prediction.routed.counter is not None and prediction.chosen in FAIR:
            prediction.routed.counter.offer(inputs, prediction.rows)
        if route.shadows and not prediction.version:
            prediction.mirrored = (route, inputs)
        parameters = {
            "prediction_id": prediction.id,
            "decision_id": prediction.id,
            "arm": model.version,
            "propensity": prediction.propensity,
        }
        referral = _referral(prediction, model, outputs) if prediction.duties else None
        if referral is not None:
            parameters["oversight_task"] = str(referral.task_id)
        answer = encode_response(
            model_name=prediction.endpoint.name,
            model_version=model.version,
            request_id=request.id,
            parameters=parameters,
            outputs=[OutputTensor(spec, outputs[spec.name], binary) for spec, binary in wanted],
        )
        if referral is not None:
            await self._put_before_a_person(referral, *answer)
        return answer

    async def _put_before_a_person(self, referral: Referral, body: bytes, json_bytes: int | None) -> None:
        """Open the oversight task of an answer. Raises AnswerWithheld where a person must confirm it first.

        Raises Overloaded when the task cannot be opened.
        """
        if self._refer is None:
            raise Overloaded("this answer must go to a person, and there is no queue to put it into here")
        if not referral.withheld:
            await self._refer(referral)
            return
        await self._refer(replace(referral, body=body, json_bytes=json_bytes))
        raise AnswerWithheld(referral.task_id)

    def _timeout_s(self, request: InferenceRequest) -> float:
        """The parameter `timeout` (microseconds, as Triton has it), within this server's own limit."""
        timeout_us = request.parameters.get("timeout")
        if timeout_us is None:
            return self._limits.timeout_s
        if type(timeout_us) is not int or timeout_us <= 0:
            raise ProtocolError(400, 'the parameter "timeout" must be a positive number of microseconds')
        return min(timeout_us / 1e6, self._limits.timeout_s)

    def _remember(self, prediction: Prediction, status: int) -> None:
        """Count the answer and queue its outcome record."""
        latency_s = time.perf_counter() - prediction.started
        routed = prediction.routed
        if routed is None:
            metrics.REFUSED.labels(str(status)).inc()
        else:
            routed.metrics.answered(status, latency_s)
        if self._outcomes is None:
            return
        outcome = Outcome(
            id=prediction.id,
            tenant_id=prediction.endpoint.tenant_id,
            endpoint_id=prediction.endpoint.id,
            model_version_id=routed.arm.version_id if routed is not None else None,
            at=datetime.now(UTC),
            latency_us=int(1e6 * latency_s),
            status=status,
            rows=prediction.rows,
            bytes_in=prediction.bytes_in,
            principal_id=prediction.caller.principal.id,
            # PostgreSQL has no place for NUL in text.
            request_id=prediction.request_id[:MAX_REMEMBERED_ID].replace("\0", ""),
            chosen=prediction.chosen,
            propensity=prediction.propensity,
            predicted=prediction.predicted,
            confidence=prediction.confidence,
        )
        self._outcomes.add(outcome)
        if prediction.mirrored is not None and status == 200:
            self._shadows.mirror(*prediction.mirrored, outcome)


def _refuse_unparsed(prediction: Prediction, route: Route, body: bytes) -> None:
    """Raise Overloaded where the queue stands and the body cannot change that: one version answers whoever asks, and
    no deadline of the caller's own is named.

    Under overload most of what comes is refused; parsing it first would keep the event loop from those who are not.
    """
    if len(route.weighted) != 1 or route.by_cohort or prediction.version:
        return
    (routed,) = route.weighted
    wait_s = routed.model.batcher.stands_s(time.monotonic()) if routed.model is not None else 0.0
    if wait_s and b'"timeout"' not in body[: prediction.headers.json_length]:
        prediction.request_id = prediction.headers.request_id.decode("latin-1")
        prediction.routed, prediction.chosen, prediction.propensity = routed, SPLIT, 1.0
        raise would_wait(wait_s)


def _referral(prediction: Prediction, model: ServedModel, outputs: Tensors) -> Referral | None:
    """What of an answer goes to a person."""
    endpoint = prediction.endpoint
    return referral_of(
        prediction.duties,
        outputs,
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.id,
        endpoint=endpoint.name,
        version=model.version,
        prediction_id=prediction.id,
        asker=prediction.caller.principal,
        use=prediction.use,
    )


def count_rows(model: ServedModel, inputs: Tensors) -> int:
    """How many rows a request brings. Where the first dimension is the batch, all inputs must agree on it (400)."""
    if not model.signature.rows_are_variable:
        return 1
    sizes = {tensor.shape[0] for tensor in inputs.values()}
    if len(sizes) > 1:
        raise ProtocolError(400, f"the inputs have different numbers of rows: {sorted(sizes)}")
    return sizes.pop()
