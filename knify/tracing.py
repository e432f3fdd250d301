"""Traces by OpenTelemetry, from a request to its command: off unless the environment says where to.

A job's record keeps the `traceparent` of the request by which it came, so whoever works on the job
goes on in the same trace: the first worker, the next one after a crash, and whom a sweep has sent.
Spans hold ids, states and names of ours, and no word of a user. What is off costs a look at a
variable; packages are imported only where it is on (extra `otel`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from knify import __version__, model

log = logging.getLogger(__name__)

_LAST_SECONDS: Final = 2.0  # for what is left at the end of a process
_METHODS: Final = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
)
_NOTHING: Final = contextlib.nullcontext()

_provider: Any = None
_tracer: Any = None
#: The span of the request that this thread or greenlet answers.
_request: ContextVar[Any] = ContextVar("knify_request_span", default=None)


def begin(part: str) -> None:
    """Send this process's spans to the collector that the environment names, if it names one.

    After all forks; once. Whatever is wrong is said in the log, and the process goes on without.
    """
    if not is_wanted(os.environ):
        return
    try:
        use(_exporting(part))
    except ImportError:
        log.warning("no traces: the extra is missing, pip install 'knify[otel]'")
    except Exception as wrong:  # a mistake in one of the SDK's many variables
        log.warning("no traces: %s", wrong)


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables ask for traces; an empty one says nothing."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off = is_off or environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    return not is_off and any(environ.get(name) for name in names)


def use(provider: Any) -> None:
    """Make spans with this provider of the SDK; None: no more."""
    global _provider, _tracer
    _provider = provider
    _tracer = provider and provider.get_tracer("knify", __version__)


def flush() -> None:
    """Send what is left, but wait no longer than some seconds: the process is about to end."""
    if _provider is None:
        return
    sending = threading.Thread(target=_provider.force_flush, daemon=True, name="last spans")
    sending.start()
    sending.join(_LAST_SECONDS)


def request(method: str, route: str | None, sent: str | None) -> None:
    """A request has come. `route`: its rule, None where there is none; `sent`: its traceparent."""
    if _tracer is None:
        return
    known = method if method in _METHODS else None
    told = {"http.request.method": known or "_OTHER"} | ({"http.route": route} if route else {})
    name = f"{known or 'HTTP'} {route}" if route else known or "HTTP"
    kind = _api().SpanKind.SERVER
    _request.set(_tracer.start_span(name, context=_context(sent), kind=kind, attributes=told))


def untraced() -> None:
    """This request has no span, whatever its connection's last one had."""
    if _tracer is not None:
        _request.set(None)


def answered(status: int) -> None:
    """The request's answer has begun."""
    if _tracer is None or (span := _request.get()) is None:
        return
    _request.set(None)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        _fail(span, str(status))
    span.end()


def traceparent() -> str | None:
    """For the record of a job that is made now: the request's, or that of a trace of its own."""
    if _tracer is None:
        return None
    span = _request.get()
    if span is None:  # a schedule's run
        span = _tracer.start_span("accept", context=_context(None))
        span.end()
    it = span.get_span_context()
    return f"00-{it.trace_id:032x}-{it.span_id:016x}-{it.trace_flags:02x}"


def step(name: str, x: model.Execution) -> contextlib.AbstractContextManager[None]:
    """Around one step of a job; what the block raises marks it as failed, by its class."""
    if _tracer is None or x.traceparent is None:
        return _NOTHING
    return _step(name, x)


@contextlib.contextmanager
def _step(name: str, x: model.Execution) -> Iterator[None]:
    told = _told(x) | {"knify.state": x.state.value}
    span = _tracer.start_span(name, context=_context(x.traceparent), attributes=told)
    try:
        yield
    except BaseException as failed:
        _fail(span, type(failed).__name__)
        raise
    finally:
        span.end()


def command(x: model.Execution, ended: int, outcome: model.Outcome) -> None:
    """The command of a job has run until `ended` (ms by Redis's clock, as its start is).

    Called by who writes that it has ended, whoever started it: so there is one span.
    """
    if _tracer is None or x.traceparent is None or x.started_at is None:
        return
    told = _told(x) | {"knify.outcome": outcome.kind}
    if outcome.exit_code is not None:
        told["process.exit.code"] = outcome.exit_code
    span = _tracer.start_span(
        "command",
        context=_context(x.traceparent),
        start_time=x.started_at * 1_000_000,
        attributes=told,
    )
    if not outcome.succeeded:
        _fail(span, outcome.kind)
    span.end(end_time=max(ended, x.started_at) * 1_000_000)


def _told(x: model.Execution) -> dict[str, Any]:
    told = {
        "knify.execution.id": x.id,
        "knify.sandbox.id": x.sandbox_id,
        "knify.tenant": x.tenant,
        "knify.job_type": x.spec.job_type,
        "knify.node": x.node,
        "knify.fence": x.fence,
        "knify.attempts": x.attempts,
    }
    return {name: value for name, value in told.items() if value is not None}


def _fail(span: Any, kind: str) -> None:
    """Never with a message: messages quote users."""
    span.set_attribute("error.type", kind)
    span.set_status(_api().Status(_api().StatusCode.ERROR))


def _context(traceparent: str | None) -> Any:
    """The parent that the text names; none when it is no traceparent."""
    from opentelemetry.trace.propagation import tracecontext

    carrier = {"traceparent": traceparent} if traceparent else {}
    return tracecontext.TraceContextTextMapPropagator().extract(carrier)


def _api() -> Any:
    from opentelemetry import trace

    return trace


def _exporting(part: str) -> Any:
    """A provider that sends spans in batches from a thread of its own, and drops what is too much.

    Sampling, batches, headers, TLS and resource: by the SDK's own variables.
    """
    from opentelemetry.exporter.otlp.proto.http import trace_exporter
    from opentelemetry.sdk import resources, trace
    from opentelemetry.sdk.trace import export

    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # one line for each lost batch
    ours = {
        "service.namespace": "knify",
        "service.name": f"knify-{part}",
        "service.version": __version__,
    }
    resource = resources.Resource.create(ours).merge(resources.OTELResourceDetector().detect())
    provider = trace.TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(export.BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))
    return provider
