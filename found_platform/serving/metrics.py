"""What Prometheus reads: requests and their seconds by route and status, and jobs by state. No user and no token is named."""

import prometheus_client as prometheus

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        labels = ("method", "route", "status")
        self._seconds = prometheus.Histogram(
            "found_request_seconds", "Seconds of a request", labels, buckets=BUCKETS, registry=self.registry
        )
        self.jobs = prometheus.Gauge("found_jobs", "Jobs that wait or run", ("state",), registry=self.registry)
        prometheus.ProcessCollector(registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def exposition(self) -> bytes:
        return prometheus.generate_latest(self.registry)
