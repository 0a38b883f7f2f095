"""Engines on loopback, Sail and Apache Spark, and a log made of edges."""

import datetime as dt
import math
from collections.abc import Iterator

import pytest
import spark_cluster
from conftest import at, lake_of, write_source
from random_events import random_events

from found_platform.settings import Settings


@pytest.fixture(scope="session")
def sail() -> Iterator[str]:
    """The address of a Sail server in this process; skips where the extra is not installed."""
    server = pytest.importorskip("pysail.spark", reason="the extra `scale` is not installed: pip install -e '.[scale]'")
    pytest.importorskip("pyspark.sql.connect", reason="the extra `scale` is not installed: pip install -e '.[scale]'")
    running = server.SparkConnectServer(ip="127.0.0.1", port=0)
    running.start(background=True)
    yield f"sc://127.0.0.1:{running.listening_address[1]}"
    running.stop()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_cluster.Cluster]:
    """Apache Spark with two workers; skips where it or Java is not installed."""
    pytest.importorskip("pyspark.sql.connect", reason="the extra `scale` is not installed: pip install -e '.[scale]'")
    with spark_cluster.running(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture(scope="session", params=["sail", pytest.param("spark", marks=pytest.mark.long)])
def address(request: pytest.FixtureRequest) -> str:
    """The address of an engine, of each there is."""
    engine = request.getfixturevalue(request.param)
    return engine if isinstance(engine, str) else engine.address


SEARCHES = ("search", "pay_bill")
AMOUNTS = (
    *(sign * value for k in (0, 1, 10, 20, 49) for value in (2.0**k - 1, math.nextafter(2.0**k - 1, 0)) for sign in (1, -1)),
    *(1.005, 2.675, 0.145, -1.005, 1.115, 1e-7, 0.1, 0.2, 0.0, -0.0, 9.9e14, 123456789012.345),
)
"""Beside powers of two, halves of a cent, sums that floats do not hold, and the largest that a source may have."""


def edges() -> list[dict]:
    """Ties, nulls, late arrivals, the change of the clock in Berlin, the ends of days and years, silence, odd texts and amounts."""
    zones = [
        at(day, time)
        for day in ("2024-03-30", "2024-03-31", "2023-12-31", "2024-01-01", "2024-02-29")
        for time in ("00:00:00", "00:00:00.000001", "00:30:00", "01:30:00.999999", "22:59:59", "23:59:59.999999")
    ]
    texts = ("ä\u0301pfel", "日本 茶", "tab\\n 'quoted' \"text\"", "%_\\", "🛒", "a" * 300)
    rows: list[dict] = []
    for i, time in enumerate(zones):
        row = {"user_id": f"z{i % 3}", "event_time": time, "text": texts[i % len(texts)], "channel": SEARCHES[i % 2]}
        rows.append({**row, "amount": AMOUNTS[i % len(AMOUNTS)] if i % 5 else None, "category": texts[i % 4] if i % 3 else None})
        if i % 4 == 0:  # known days later, at the very beginning of a day, and in the same microsecond as another
            rows.append({**row, "text": "late", "arrived_at": at(str(time.date() + dt.timedelta(days=3)), "00:00:00")})
            rows.append({**row, "text": "tie", "exposure": True})
    for i, amount in enumerate(AMOUNTS):
        when = at("2024-01-05") + dt.timedelta(hours=7 * i)
        rows.append({"user_id": "amounts", "event_time": when, "text": f"text {i % 3}", "amount": amount, "category": f"c{i % 5}"})
        rows.append({"user_id": "ties", "event_time": at("2024-01-09"), "text": f"text {i % 3}", "amount": amount})
    return rows + random_events(3, late=0.3)


PROFILE = [
    {"user_id": "z0", "as_of": at("2024-01-01", "00:00:00"), "city": "Ulm", "age": 30, "rate": 0.1, "member": True},
    {"user_id": "z0", "as_of": at("2024-03-31", "01:30:00"), "city": None, "age": None, "rate": None, "member": None},
    {"user_id": "ties", "as_of": at("2024-01-08"), "city": "日本", "age": -1, "rate": 1e300, "member": False},
]


@pytest.fixture(scope="session")
def edge_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of `edges`, computed by DuckDB. Tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("edges")
    source = write_source(folder, edges(), PROFILE)
    return lake_of(folder / "home", source, lookback_days=40, sequence_length=7, search_length=3, horizon_days=10, training_days=60)
