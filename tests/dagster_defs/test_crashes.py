"""Killed at every kind of write step and started again each time, a command ends in the state of one that nobody disturbed."""

import datetime as dt
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Outcome, at, call_found, copy_of, write_source

from dagster_defs import fingerprints
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform import home as home_folder
from found_platform import index, registry
from found_platform.audiences import lookup, membership, specification
from found_platform.privacy import audit
from found_platform.settings import Settings
from found_platform.sources import config, staging

TESTS = Path(__file__).parents[1]
MOST = 1_000
"""Tries, after which a command that never ends is a fault."""


class Killer:
    """Gives a command to processes that are killed, one after the other, until one comes to its end (`write_steps`)."""

    def __init__(self, home: Path):
        self._home, self.killed = home, home.parent / "killed"
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        self._server = subprocess.Popen(
            [sys.executable, str(TESTS / "write_steps.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def run(self, *arguments: object) -> list[tuple[str, str, str]]:
        """Returns the steps at which processes were killed: asset, call and place."""
        before = self._steps()
        for _ in range(MOST):
            if self._try(arguments) != -9:
                return self._steps()[len(before) :]
        raise AssertionError(f"after {MOST} tries the command has not ended: {self._steps()[-1]}")

    def _try(self, arguments: tuple[object, ...]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        line = shlex.join([str(self._home), str(self.killed), *map(str, arguments), "--home", str(self._home)])
        self._server.stdin.write(f"{line}\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        assert status in (0, -9), (self._steps()[-1:], Path(f"{self.killed}.out").read_text()[-3000:])
        return status

    def _steps(self) -> list[tuple[str, str, str]]:
        return [tuple(json.loads(line)) for line in self.killed.read_text().splitlines()] if self.killed.exists() else []

    def close(self) -> None:
        self._server.communicate()


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[Killer]:
    (tmp_path / "killed").mkdir()
    killer = Killer(tmp_path / "killed" / "found")
    yield killer
    killer.close()


def state(settings: Settings) -> dict[str, object]:
    """What a home has made, without numbers and names that are given by chance or by the clock."""
    graph = AssetGraph(settings)
    with open_instance(settings) as instance:
        hashes = {asset: fingerprints.row_hashes(graph, instance, asset) for asset in graph.table}
    versions = {
        v.version: (v.tags["kind"], v.tags["cutoff"], v.tags.get("gate"), sorted(v.aliases)) for v in registry.versions(settings)
    }
    question = lookup.Question("outdoor and camping equipment", mode="aligned")
    return {
        "hashes": hashes,
        "audiences": {name: members_of(settings, name) for name in specification.names(settings)},
        "versions": versions,
        "live": index.live(settings).model_version,
        "users": lookup.find(settings, question, lookup.Size(top=30)).users,
    }


def members_of(settings: Settings, name: str) -> tuple[int, int, list[str]]:
    """The newest version of an audience, its newest refresh, and its members."""
    refresh = membership.last(settings, name)
    assert refresh is not None
    keys = membership.members(settings, refresh)["user_key"].to_pylist()
    return specification.newest(settings, name).version, refresh.refresh, keys


@pytest.mark.slow
@pytest.mark.long
def test_ingest_and_features_of_a_small_source(killer: Killer, tmp_path: Path) -> None:
    days = [f"2024-01-0{day}" for day in range(1, 5)]
    events = [{"user_id": f"u{i}", "event_time": at(day), "text": f"thing {i}"} for day in days for i in range(5)]
    source = write_source(tmp_path, events, [{"user_id": "u1", "city": "Ulm"}])
    hashes = []
    for home in (killer.killed.parent / "found", tmp_path / "whole"):
        home_folder.make_private(home)
        (home / "secret").write_text("ab" * 16)  # keys must agree for rows to be equal
        settings = Settings.load(home, profile="tiny", lookback_days=5)
        staging.open_home(settings, staging.discover(settings, config.load(source)))
        settings.keep()
        command = ("backfill", "--from", days[0], "--to", days[-1])
        if home == tmp_path / "whole":
            assert call_found(*command, "--home", home).status == 0
        else:
            steps = killer.run(*command)
            assert {("commit", "dagster/history/runs.db"), ("write_deltalake", "lake/raw_events")} <= {s[1:] for s in steps}
        graph = AssetGraph(settings)
        with open_instance(settings) as instance:
            hashes.append({asset: fingerprints.row_hashes(graph, instance, asset) for asset in graph.table})
    assert hashes[0] == hashes[1]
    assert hashes[0]["user_tabular"].keys() == set(days)


@pytest.mark.slow
@pytest.mark.long
def test_ingest_features_training_embeddings_promotion_and_index(settings: Settings, demo: Outcome, killer: Killer) -> None:
    home = killer.killed.parent / "found"
    home_folder.make_private(home)
    shutil.copy(settings.home / "secret", home / "secret")  # keys must agree for rows to be equal
    steps = killer.run("demo", "--profile", "tiny", "--users", 300, "--days", 60)
    assert state(Settings.load(home)) == state(settings)
    assert {"quarantine", "raw_events", "user_tabular", "found_model", "user_embeddings", "promotion", "user_index"} <= {
        asset for asset, _, _ in steps
    }
    assert {"commit", "write_deltalake", "rename", "insert", "create_model_version", "set_registered_model_alias"} <= {
        call for _, call, _ in steps
    }


@pytest.mark.slow
@pytest.mark.long
def test_saving_refreshing_exporting_and_publishing(settings: Settings, cutoff: dt.date, killer: Killer, tmp_path: Path) -> None:
    whole = copy_of(settings, tmp_path / "whole")
    killed = copy_of(settings, tmp_path / "killed")
    steps: list[tuple[str, str, str]] = []
    demand = ("people who will soon buy gold", "--mode", "aligned", "--top", 20)
    for command in (
        ("audience", "save", "gold", *demand),
        ("audience", "refresh", "gold"),
        ("audience", "export", "gold", "--out", "{home}/gold.csv", "--force"),
        ("publish", "--cutoff", cutoff),
    ):
        undisturbed = [str(word).format(home=whole.home) for word in command]
        assert call_found(*undisturbed, "--home", whole.home).status == 0
        steps += killer.run(*(str(word).format(home=killed.home) for word in command))
    assert state(killed) == state(whole)
    assert (killed.home / "gold.csv").read_bytes() == (whole.home / "gold.csv").read_bytes()
    assert {"gold.csv", "lake/audience_members", "lake/audience_specifications", "audit.db"} <= {place for _, _, place in steps}
    assert "user_index" in {asset for asset, _, _ in steps}
    written = {row["action"] for row in audit.part(killed, audience="gold")[1]}
    assert written == {"save", "refresh", "export"}, "no change is without its row"
