"""Metrics for Prometheus, in a registry of the application's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, get_args

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response

from amends.resilience import BreakerState
from amends.server.routing import Route
from amends.server.services import services

if TYPE_CHECKING:
    from amends.engine import Engine
    from amends.ledger import Ledger
    from amends.server.watching import FailedTry
    from amends.store import Webhooks

router = APIRouter(tags=["watching"], route_class=Route)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    """What is counted. ``watch`` adds what is looked up when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "amends_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "amends_request_seconds", "From the request to the end of its answer.", ("method", "route"),
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._items = Counter(
            "amends_items_ended", "Items that ended, by how.", ("kind", "model", "status"), registry=self.registry
        )
        self._failures = Counter(
            "amends_failed_attempts", "Tries at items that failed. retried: whether another follows.",
            ("kind", "model", "provider", "problem", "code", "retried"), registry=self.registry,
        )  # fmt: skip

        self._webhooks = Counter(
            "amends_webhook_attempts", "Tries at telling webhooks, by how they ended.", ("type", "outcome"),
            registry=self.registry,
        )  # fmt: skip

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. route: its template, so that ids make no series of their own; status 0: none left."""
        series = self._series.get((method, route, status))
        if series is None:
            known = method if method in _METHODS else "OTHER"
            series = self._requests.labels(known, route, str(status)), self._seconds.labels(known, route)
            if known == method:  # whatever else is sent for a method would fill the memory
                self._series[method, route, status] = series
        requests, durations = series
        requests.inc()
        durations.observe(seconds)

    def items(self, kind: str, model: str, status: str, count: int) -> None:
        """Count items that ended so."""
        self._items.labels(kind, model, status).inc(count)

    def failed_attempt(self, kind: str, model: str, failure: FailedTry) -> None:
        """Count a try at an item that failed, for good or to be made again."""
        again = "no" if failure.is_final else "yes"
        self._failures.labels(kind, model, failure.provider, failure.problem, failure.code, again).inc()

    def webhook_attempt(self, type: str, outcome: str) -> None:
        """Count a try at telling a webhook. outcome: delivered, failed (and tried again), dead."""
        self._webhooks.labels(type, outcome).inc()

    def watch(self, ledger: Ledger, webhooks: Webhooks, engine: Engine | None = None) -> None:
        """Show what stands in the ledger and in the outbox, and how the engine's upstreams do."""
        self.registry.register(_Backlog(ledger))
        self.registry.register(_Outbox(webhooks))
        if engine is not None:
            self.registry.register(_Upstreams(engine))


class _Backlog(Collector):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from ()  # nothing is asked of the ledger when it is registered

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _gauges(self._ledger.backlog())


class _Outbox(Collector):
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        backlog = self._webhooks.backlog()
        found = GaugeMetricFamily("amends_webhook_deliveries", "What webhooks have not been told.", labels=("state",))
        for state in ("pending", "dead"):
            found.add_metric((state,), backlog.get(state, 0))
        yield found


class _Upstreams(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        calls = GaugeMetricFamily("amends_upstream_calls", "Calls under way.", labels=("upstream",))
        limit = GaugeMetricFamily("amends_upstream_limit", "Calls at a time, as adapted.", labels=("upstream",))
        calm = GaugeMetricFamily("amends_upstream_calm_seconds", "Until it is called again.", labels=("upstream",))
        breaker = GaugeMetricFamily(
            "amends_upstream_breaker", "1 for the state that its breaker is in.", labels=("upstream", "state")
        )
        for standing in self._engine.standings():
            calls.add_metric((standing.upstream,), standing.calls)
            limit.add_metric((standing.upstream,), standing.limit)
            calm.add_metric((standing.upstream,), standing.calm_seconds)
            for state in get_args(BreakerState):
                breaker.add_metric((standing.upstream, state), float(state == standing.breaker))
        yield from (calls, limit, calm, breaker)


def _gauges(backlog: Mapping[str, float]) -> Iterator[GaugeMetricFamily]:
    items = GaugeMetricFamily("amends_items", "Items without an outcome, by where they are.", labels=("place",))
    for place in ("pending", "leased", "deferred"):
        items.add_metric((place,), backlog.get(place, 0))
    yield items
    yield GaugeMetricFamily("amends_runs_unfinished", "Runs that have not ended.", value=backlog.get("runs", 0))


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})  # fmt: skip
def metrics(request: Request) -> Response:
    registry = services(request).metrics.registry
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
