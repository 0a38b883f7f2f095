"""What Prometheus reads: requests and their seconds by route and status, jobs by state, and the figures of the home. No user and no
token is named."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from found_platform.app.figures import Figure

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

log = logging.getLogger("found.metrics")

FRESH_SECONDS = 10.0
"""Within which several who ask get the same figures of the home: they take a part of a second to read."""


class Metrics:
    """The figures of one server, and of its home where `of_home` reads them."""

    def __init__(self, of_home: Callable[[], list[Figure]] | None = None) -> None:
        self.registry = prometheus.CollectorRegistry()
        labels = ("method", "route", "status")
        self._seconds = prometheus.Histogram(
            "found_request_seconds", "Seconds of a request", labels, buckets=BUCKETS, registry=self.registry
        )
        self.jobs = prometheus.Gauge("found_jobs", "Jobs that wait or run", ("state",), registry=self.registry)
        prometheus.ProcessCollector(registry=self.registry)
        if of_home is not None:
            self.registry.register(_Home(of_home))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def exposition(self) -> bytes:
        return prometheus.generate_latest(self.registry)


class _Home(Collector):
    """The figures of a home as gauges, read when they are asked for."""

    def __init__(self, read: Callable[[], list[Figure]]):
        self._read, self._turn = read, threading.Lock()
        self._figures: list[Figure] = []
        self._at = float("-inf")

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: which figures there are is known when they are read."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family a name."""
        with self._turn:
            if time.monotonic() - self._at > FRESH_SECONDS:
                self._figures, self._at = self._now(), time.monotonic()
            figures = self._figures
        families: dict[str, GaugeMetricFamily] = {}
        for figure in figures:
            names, values = [name for name, _ in figure.labels], [value for _, value in figure.labels]
            family = families.setdefault(figure.name, GaugeMetricFamily(figure.name, figure.about, labels=names))
            family.add_metric(values, figure.value)
        yield from families.values()

    def _now(self) -> list[Figure]:
        """The figures, and whether they can be read at all: those of the server are given in any case."""
        about = "Whether the figures of the home can be read"
        try:
            return [Figure("found_home_readable", about, 1), *self._read()]
        except Exception:  # whatever a home in disorder raises: the server's own figures say then that it is one
            log.warning("The figures of the home cannot be read", exc_info=True)
            return [Figure("found_home_readable", about, 0)]
