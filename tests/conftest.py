"""What several files use: homes and data that are made once a session, and small helpers."""

import contextlib
import datetime as dt
import importlib.util
import io
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from filelock import FileLock

os.environ["COLUMNS"] = "120"
from found_platform.settings import Settings

if TYPE_CHECKING:
    from found_platform.rewriting import Rewriting

pytest_plugins = ["engines", "identity_provider", "milvus_server", "postgres_home", "served_home", "servers"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    """Tests run as in a terminal, also where a script starts them in its background, with SIGINT ignored.

    Dagster gives SIGTERM what SIGINT has, and whatever a test starts afterwards would inherit it and could not be ended.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests in the home of `demo` as slow, and long ones, and orders files so that no worker waits for another.

    To make that home takes a minute, in which only tests without it can run: one file that needs it begins, then come files with
    slow tests that do not. Files of quick tests end, the shortest last. The order of tests in a file stays.
    """
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)
    in_a_demo = [item for item in items if "demo" in getattr(item, "fixturenames", ())]
    demos, slow = {item.path for item in in_a_demo}, {item.path for item in items if item.get_closest_marker("slow")}
    first, tests = next((item.path for item in in_a_demo), None), Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path != first, item.path not in slow - demos, item.path not in demos, -tests[item.path]))
    for item in in_a_demo:
        item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def rankings_made_anew() -> None:
    """A test that changes how users are ranked changes nothing for the next one: rankings of the last questions are kept."""
    if lookup := sys.modules.get("found_platform.audiences.lookup"):
        lookup._kept_rank.cache_clear()


@pytest.fixture(autouse=True)
def no_storage_of_an_instance_that_is_gone() -> None:
    """Dagster keeps the storage of the instance that was opened last; one that a test abandons half-way must not reach the next."""
    if state := sys.modules.get("dagster._core.storage.defs_state.base"):
        state._current_storage.set(None)


@dataclass
class Outcome:
    """What a command did: exit status, stdout, stderr."""

    status: int
    out: str
    err: str


@contextlib.contextmanager
def arguments(*args: object) -> Iterator[None]:
    before = sys.argv
    sys.argv = ["found", *map(str, args)]
    try:
        yield
    finally:
        sys.argv = before


def call_found(*args: object) -> Outcome:
    """Runs the `found` command in this process."""
    from found_platform.cli import main

    out, err = io.StringIO(), io.StringIO()
    status = 0
    with arguments(*args), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def bench() -> ModuleType:
    """`benchmarks/lookup.py`, which makes homes of many made-up users."""
    spec = importlib.util.spec_from_file_location("bench_lookup", Path(__file__).parents[1] / "benchmarks" / "lookup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def found() -> Callable[..., Outcome]:
    return call_found


def once(tmp_path_factory: pytest.TempPathFactory, name: str, write: Callable[[Path], object]) -> Path:
    """A copy for this worker of a folder that one worker of the session writes for all of them."""
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    base = tmp_path_factory.getbasetemp().parent if workers else tmp_path_factory.getbasetemp()
    original, complete = base / f"{name}-original", base / f"{name}-complete"
    with FileLock(base / f"{name}.lock"):
        if not complete.exists():
            shutil.rmtree(original, ignore_errors=True)
            original.mkdir()
            write(original)
            complete.touch()
    return Path(shutil.copytree(original, tmp_path_factory.mktemp(name), dirs_exist_ok=True))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of `found demo` on a small simulated population, tiny profile, printed as JSON."""

    def write(folder: Path) -> None:
        size = ("--profile", "tiny", "--users", 300, "--days", 60)
        outcome = call_found("demo", *size, "--home", folder / "found", "--format", "json")
        assert outcome.status == 0, outcome.err
        (folder / "out.json").write_text(outcome.out)
        (folder / "err.txt").write_text(outcome.err)

    folder = once(tmp_path_factory, "home", write)
    out = json.loads((folder / "out.json").read_text()) | {"home": str(folder / "found")}
    return Outcome(0, json.dumps(out), (folder / "err.txt").read_text())


@pytest.fixture(scope="session")
def settings(demo: Outcome) -> Settings:
    """The settings of the home that `demo` made. Tests must leave it as it is."""
    return Settings.load(Path(json.loads(demo.out)["home"]))


def copy_of(settings: Settings, folder: Path) -> Settings:
    """A home with what look-ups and refreshes read, without the files that it was made by."""
    ignored = shutil.ignore_patterns("monitoring", "simulated", "staging", "training", "truth")
    return Settings.load(Path(shutil.copytree(settings.home, folder / "found", ignore=ignored)))


@pytest.fixture(scope="session")
def overtaken(settings: Settings, cutoff: dt.date, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo's home after a newer model version has taken over. Tests must leave it as it is."""
    from another_version import another_version

    def write(folder: Path) -> None:
        another_version(Settings.load(Path(shutil.copytree(settings.home, folder / "found"))), cutoff)

    return Settings.load(once(tmp_path_factory, "overtaken", write) / "found")


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home for a test that suppresses users, adds events or keeps more of its own."""
    return copy_of(settings, tmp_path)


@pytest.fixture(scope="session")
def cutoff(demo: Outcome) -> dt.date:
    return dt.date.fromisoformat(json.loads(demo.out)["cutoff"])


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The home of `small_shop`. Tests must leave it as it is."""
    import small_shop

    return Settings.load(once(tmp_path_factory, "shop", small_shop.shop_in) / "home", profile="tiny", encoder="offline-text")


@pytest.fixture(scope="session")
def rewrite(shop: Settings) -> "Callable[[str], Rewriting]":
    """The grounded rewriter of `shop`."""
    import small_shop

    from found_platform import rewriting

    return rewriting.grounded(shop, small_shop.CUTOFF).rewrite


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data of `small_training`. Tests must leave them as they are."""
    import small_training

    return small_training.write_data(tmp_path_factory.mktemp("training") / "data")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost small tensors more than they save."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def at(day: str, time: str = "12:00:00") -> dt.datetime:
    """A UTC moment."""
    return dt.datetime.fromisoformat(f"{day}T{time}+00:00")


EVENT_COLUMNS = {"user_id": "user_id", "event_time": "event_time", "text": "text", "category": "category", "amount": "amount"}


def write_source(folder: Path, events: list[dict], profile: list[dict] | None = None, **entry: object) -> Path:
    """A source file over Parquet files of these events (channel by the key `channel`, default pay_bill)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"channel": "pay_bill", "category": None, "amount": None, **e} for e in events]
    schema = pa.schema(
        [
            ("user_id", pa.string()),
            ("event_time", pa.timestamp("us", tz="UTC")),
            ("channel", pa.string()),
            ("text", pa.string()),
            ("category", pa.string()),
            ("amount", pa.float64()),
            ("arrived_at", pa.timestamp("us", tz="UTC")),
            ("exposure", pa.bool_()),
        ]
    )
    pq.write_table(
        pa.Table.from_pylist([{"arrived_at": None, "exposure": False, **r} for r in rows], schema=schema), folder / "events.parquet"
    )
    channels: dict = {}
    for channel in dict.fromkeys(r["channel"] for r in rows):
        for exposed in (False, True):
            if any(r["channel"] == channel and bool(r.get("exposure")) == exposed for r in rows):
                where = f"channel = '{channel}' AND {'exposure' if exposed else 'NOT exposure'}"
                columns = {**EVENT_COLUMNS, "arrived_at": "arrived_at"}
                channels.setdefault(channel, []).append(
                    {"path": "events.parquet", "where": where, "columns": columns, "exposure": exposed, **entry}
                )
    content: dict = {"name": "by_hand", "channels": channels}
    if profile is not None:
        pq.write_table(pa.Table.from_pylist(profile), folder / "profile.parquet")
        content["profile"] = {"path": "profile.parquet", "key": "user_id", "as_of": "as_of" if "as_of" in profile[0] else None}
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def lake_of(home: Path, source: Path, **changes: object) -> Settings:
    """Stages a source and writes its daily tables, without Dagster."""
    from found_platform.features import write
    from found_platform.sources import config, staging

    settings = Settings.load(home, profile="tiny", **changes)
    opened = staging.open_home(settings, staging.discover(settings, config.load(source)))
    staging.stage(settings)
    write.raw_events(settings, *opened.days)
    write.raw_profile(settings)
    for table in write.TABLES:
        write.feature(settings, table, *opened.days)
    return settings
