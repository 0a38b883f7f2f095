"""The index under load: searched by many while it is published, its recall checked by selectivity, embedded and on a server."""

import datetime as dt
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from milvus_server import lite_server

from found_platform import index, tenancy
from found_platform.embedding import users
from found_platform.erasure import lake_tables, proof, published
from found_platform.erasure.persons import Persons
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping import condition, replaced
from found_platform.index import collection, milvus, pointer, recall
from found_platform.index.pointer import Publication
from found_platform.index.recall import RecallCheck
from found_platform.privacy.user_keys import UserKeys
from found_platform.scoring import exact
from found_platform.settings import Settings

pytestmark = pytest.mark.slow

WIDTH = 16


@pytest.fixture(scope="module")
def two(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[str]]:
    """A home of 1,000 simulated users and two model versions with different states. Its index changes from test to test."""
    settings = bench.make_home(tmp_path_factory.mktemp("index") / "home", 1000)
    return settings, [bench.add_version(settings, WIDTH, seed) for seed in (1, 2)]


def exactly(settings: Settings, published: Publication, query: np.ndarray, top: int) -> list[str]:
    names, vectors, events = users.load(settings, published.model_version, AS_OF)
    return [names[i] for i in exact.top_users(vectors, query, top, events > 0)[0]]


def opened(settings: Settings) -> list[collection.Connection]:
    """The indexes of this home that this process holds; earlier tests may hold others."""
    return [connection for uri, connection in collection._connections.items() if uri.startswith(str(settings.home))]


def nearest(searcher: index.Searcher, published: Publication, query: np.ndarray, top: int = 20, expression: str = "") -> list[str]:
    return [key for key, _ in searcher.search(published, query, top, expression)]


AS_OF = dt.date(2026, 3, 1)


def test_lookups_go_on_while_versions_are_published_and_no_answer_is_mixed(
    bench: ModuleType, two: tuple[Settings, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four threads look up; a thread, then another process, publish two versions in turn."""
    settings, versions = two
    monkeypatch.setattr(bench, "WIDTH", WIDTH)
    figures = bench.concurrent(settings, versions, times=1)
    assert figures["failed"] == figures["mixed"] == 0
    assert figures["publications_asked"] >= 2
    assert figures["by_the_index"] > 50
    kept = {p.name for p in (settings.home / "index").glob("*.db")}
    now = pointer.read(settings)
    assert now.previous is not None
    assert kept >= {now.live.name, now.previous.name}


def test_what_is_read_is_not_removed_and_goes_with_the_next_publication(two: tuple[Settings, list[str]]) -> None:
    settings, (first, second) = two
    old = index.publish(settings, first, AS_OF)
    query = np.ones(WIDTH, np.float32)
    with index.Searcher(settings) as searcher:
        expected = nearest(searcher, old, query)
        assert expected == exactly(settings, old, query, 20)
        for version in (second, first, second):  # by now `old` is neither live nor the one before
            index.publish(settings, version, AS_OF)
        assert (settings.home / "index" / old.name).exists()
        assert nearest(searcher, old, query) == expected
        live = index.live(settings)
        assert nearest(searcher, live, query) == exactly(settings, live, query, 20)  # the searcher moves on, and gives `old` back
        index.publish(settings, first, AS_OF)
        assert not (settings.home / "index" / old.name).exists()
        with pytest.raises(index.IndexBusy, match="is gone"):
            searcher.search(old, query, 5)
    assert not opened(settings)


def test_another_process_reading_keeps_its_publication_too(two: tuple[Settings, list[str]]) -> None:
    settings, (first, second) = two
    old = index.publish(settings, first, AS_OF)
    code = (
        "import sys; from pathlib import Path; import numpy as np; from found_platform import index; "
        "from found_platform.settings import Settings; settings = Settings(home=Path(sys.argv[1]), profile='tiny'); "
        "searcher = index.Searcher(settings); live = index.live(settings); query = np.ones(3, np.float32); "
        "print(len(searcher.search(live, query, 5)), flush=True); input(); print(len(searcher.search(live, query, 5)), flush=True)"
    )
    command = [sys.executable, "-c", code, str(settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().strip() == "5"
        with pytest.raises(index.IndexBusy, match="another process holds the index"):
            index.search(settings, old, np.ones(3, np.float32), 5)
        for version in (second, first):
            index.publish(settings, version, AS_OF)
        assert (settings.home / "index" / old.name).exists()
        out, err = reader.communicate("\n")
        assert out.strip() == "5"
        assert err == ""  # it ended without closing
    index.publish(settings, second, AS_OF)
    assert not (settings.home / "index" / old.name).exists()


def test_a_searcher_keeps_the_index_open_and_gives_it_back(two: tuple[Settings, list[str]]) -> None:
    settings, (first, _) = two
    live = index.publish(settings, first, AS_OF)
    query = np.ones(WIDTH, np.float32)
    searcher = index.Searcher(settings)
    connections = set()
    for _ in range(3):
        searcher.search(live, query, 5)
        connections.update(id(c.client) for c in opened(settings))
    assert len(connections) == 1
    index.search(settings, live, query, 5)  # another user in the same process does not close it
    assert len(opened(settings)) == 1
    searcher.close()
    assert not opened(settings)
    assert len(searcher.search(live, query, 5)) == 5
    assert opened(settings)
    del searcher  # forgotten
    gc.collect()
    assert not opened(settings)


def test_an_index_that_stopped_answering_is_opened_anew_by_the_next_search(two: tuple[Settings, list[str]]) -> None:
    settings, (first, _) = two
    live = index.publish(settings, first, AS_OF)
    query = np.ones(WIDTH, np.float32)
    with index.Searcher(settings) as searcher:
        expected = nearest(searcher, live, query)
        collection._release(str(settings.home / "index" / live.name))  # the embedded server is gone, the client does not know
        with pytest.raises(index.IndexBusy, match="does not answer"):
            searcher.search(live, query, 20)
        assert nearest(searcher, live, query) == expected


def test_a_query_of_the_first_places_and_a_filter_with_or(two: tuple[Settings, list[str]]) -> None:
    settings, (first, _) = two
    live = index.publish(settings, first, AS_OF)
    names, vectors, events = users.load(settings, first, AS_OF)
    table = index.attributes(settings, AS_OF)
    many, few = table["events_7d"].to_numpy() >= 60, table["amount_28d"].to_numpy() < 5
    query = vectors[np.argmax(events > 0), :5]
    with index.Searcher(settings) as searcher:
        hits = nearest(searcher, live, query, 50, "events_7d >= 60 or amount_28d < 5.0")
    rows, _ = exact.top_users(vectors, query, 50, (events > 0) & (many | few))
    assert hits == [names[i] for i in rows]
    assert live.rows == int((events > 0).sum()) < len(names)


def test_recall_is_checked_for_wide_and_for_narrow_filters(two: tuple[Settings, list[str]]) -> None:
    settings, (first, _) = two
    whole = index.publish(settings, first, AS_OF)
    assert [a.recall for a in whole.recall_checks] == [1.0] * 4  # FLAT compares with everybody
    np.testing.assert_allclose([a.share for a in whole.recall_checks], recall.SHARES, rtol=0.1)
    assert all(whole.trusted(share) for share in (1.0, 0.3, 0.01, 1e-5))
    assert index.live(settings) == whole  # the recall checks are in the pointer file, with the filters it used
    stored = json.loads((settings.home / "index" / "current.json").read_text())["live"]["audit"]
    assert [a["filter"].split(" ")[0].lstrip("(") in index.filter_columns(settings).names for a in stored] == [
        False,
        True,
        True,
        True,
    ]

    cells = index.publish(settings.model_copy(update={"milvus_index": "IVF_FLAT"}), first, AS_OF)
    assert cells.recall_checks[-1].recall < index.RECALL  # it looks at the nearest cells alone, and the few are elsewhere
    assert not cells.trusted(cells.recall_checks[-1].share)
    assert not cells.trusted(1e-5)


def test_trust_holds_between_two_shares_that_both_passed_and_nowhere_else() -> None:
    def publication(*checks: RecallCheck) -> Publication:
        return Publication("v1.db", "1", "2026-03-01", 10, 1.0, "now", checks)

    good, bad = (
        publication(RecallCheck(1.0, "", 1.0), RecallCheck(0.1, "x >= 1.0", 0.99), RecallCheck(0.01, "x >= 2.0", 0.9)),
        publication(),
    )
    assert [good.trusted(share) for share in (1.0, 0.5, 0.1, 0.05, 0.01, 0.001)] == [True, True, True, False, False, False]
    assert not bad.trusted(1.0)  # never checked


def test_rank_and_recall_are_told_apart(bench: ModuleType) -> None:
    """An index that gives the second hundred in place of the first, or a user outside the filter, has no recall."""
    import pyarrow as pa

    vectors = bench.make_vectors(np.random.default_rng(0), 500, 8)
    table = pa.table({"x": np.arange(500.0)})
    names = [f"{i:03}" for i in range(500)]

    def answers(skip: int):
        def find(queries: np.ndarray, top: int, expression: str) -> list[list[tuple[str, float]]]:
            kept = np.arange(500) >= (float(expression.rstrip(")").split(" ")[-1]) if expression else 0)
            ranked = [exact.top_users(vectors, q, top + skip, kept) for q in queries]
            return [[(names[i], float(s)) for i, s in zip(r[skip:], s[skip:], strict=True)] for r, s in ranked]

        return find

    right = recall.measure(answers(0), names, vectors, table)
    assert [a.recall for a in right] == [1.0] * 4
    assert [a.share for a in right] == [1.0, 0.1, 0.01, 0.002]
    assert recall.measure(answers(100), names, vectors, table)[0].recall == 0.0
    deaf = recall.measure(lambda q, top, _: answers(0)(q, top, ""), names, vectors, table)  # heeds no filter
    assert deaf[0].recall == 1.0
    assert deaf[2].recall < 0.5


def test_a_server_has_a_collection_a_publication_and_an_alias_that_follows(two: tuple[Settings, list[str]], tmp_path: Path) -> None:
    local, (first, second) = two
    query = np.ones(WIDTH, np.float32)
    with lite_server(tmp_path / "server") as uri:
        settings = local.model_copy(update={"milvus_uri": uri})
        own = f"found_{tenancy.number(local.home)}_"

        def alias() -> str:
            with collection.connect(uri) as connection:
                return connection.client.describe_alias(f"{own}live")["collection_name"]

        def collections() -> set[str]:
            with collection.connect(uri) as connection:
                return set(connection.client.list_collections())  # pyright: ignore

        publications = [index.publish(settings, version, AS_OF) for version in (first, second, first)]
        names = [own + m.name.removesuffix(".db").replace("-", "_") for m in publications]
        assert collections() == set(names[1:])
        assert alias() == names[2]
        assert index.is_live(settings, first, str(AS_OF))
        with index.Searcher(settings) as searcher:
            assert nearest(searcher, publications[2], query) == exactly(settings, publications[2], query, 20)
            bad, good = index.rollback(settings)
            assert (bad, good) == (publications[2], publications[1])
            assert alias() == names[1]
            assert nearest(searcher, index.live(settings), query) == exactly(settings, publications[1], query, 20)
            with pytest.raises(index.IndexBusy, match="gone from the server"):
                searcher.search(publications[0], query, 5)
        with pytest.raises(BadInput, match="no earlier index"):
            index.rollback(settings)
    start = time.perf_counter()
    with pytest.raises(index.IndexBusy, match="cannot be reached"):
        index.search(settings, publications[1], query, 5)
    assert time.perf_counter() - start < 30


@pytest.mark.long
def test_homes_share_a_server_and_each_erases_and_collects_its_own(
    bench: ModuleType, two: tuple[Settings, list[str]], tmp_path: Path
) -> None:
    """What a killed publication left on the server goes by its age; a person is looked for in every collection of the home."""
    local, (first, _) = two
    with lite_server(tmp_path / "server") as uri:
        settings = local.model_copy(update={"milvus_uri": uri})
        copied = Path(shutil.copytree(local.home, tmp_path / "other"))
        (copied / tenancy.FILE).unlink(missing_ok=True)
        other = settings.model_copy(update={"home": copied})
        live, of_other = (index.publish(each, first, AS_OF) for each in (settings, other))
        store = milvus.server(settings)
        assert store is not None
        old = "v1-2020-01-01-20200101T000000000000.db"
        with store.build(old) as half:
            table = index.attributes(settings, AS_OF).select(index.filter_columns(settings).names).slice(0, 2)
            half.fill(UserKeys.of(["a" * 32, "b" * 32]), np.ones((2, WIDTH), np.float32), table, np.ones(2, bool), "FLAT")
        gone = users.load(settings, first, AS_OF)[0][0]
        somebody, nobody = (Persons(frozenset(), frozenset({key}), (), frozenset()) for key in (gone, "c" * 32))
        persons = Persons(frozenset(), frozenset({"a" * 32}), (), frozenset())
        search = proof.Search()
        for who in (somebody, nobody, persons):
            published.search(settings, who, search)
        assert search.servers == {"collections in Milvus": 6}
        assert len(search.hits) == 2
        assert old.removesuffix(".db").replace("-", "_") in search.hits[1]
        pieces = list(replaced.INDEXES.find(settings, time.time()))
        assert pieces
        for piece in pieces:
            piece.remove()
        assert store.others({live.name}) == []
        assert published.rebuild(settings, nobody) == 0
        assert index.is_live(settings, first, str(AS_OF))
        assert index.is_live(other, first, str(AS_OF)), "its collection is another one"
        assert list(condition.vectors(settings)) == []
        lake_tables.remove_of_every_table(settings, somebody)
        assert published.rebuild(settings, somebody) > 0
        assert store.holding(somebody.keys) == ([], 1)
        other_server = milvus.server(other)
        assert other_server is not None
        assert other_server.holding(somebody.keys)[1] == 1
        assert index.search(other, of_other, np.ones(3, np.float32), 5)
    assert "cannot be reached" in next(iter(condition.vectors(settings))).problem
    assert list(replaced.INDEXES.find(settings, time.time())) == []
    with pytest.raises(JobFailed, match="Look at FOUND_MILVUS_URI"):
        published.search(settings, somebody, proof.Search())


@pytest.mark.parametrize("uri", ["http://root:hunter2@milvus:19530/found", "https://hunter2@milvus", "./milvus-hunter2.db"])
def test_an_address_with_a_password_or_of_a_file_is_refused_without_showing_it(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUND_MILVUS_URI", uri)
    with pytest.raises(BadInput, match="milvus_uri") as refused:
        Settings.load(tmp_path)
    assert ("hunter2" in str(refused.value)) == uri.endswith(".db"), "a path is no secret"
    assert uri.endswith(".db") or "FOUND_MILVUS_TOKEN=USER:PASSWORD" in str(refused.value)


def test_publishers_take_turns_and_a_rollback_does_not_wait_for_them(
    two: tuple[Settings, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, (first, second) = two
    before = index.publish(settings, first, AS_OF)
    index.publish(settings, second, AS_OF)
    loading, go_on = threading.Event(), threading.Event()
    real = recall.measure

    def slow(*args):
        loading.set()
        assert go_on.wait(60)
        return real(*args)

    monkeypatch.setattr(recall, "measure", slow)
    threads = [threading.Thread(target=index.publish, args=(settings, version, AS_OF)) for version in (first, second)]
    for thread in threads:
        thread.start()
    assert loading.wait(60)
    assert index.rollback(settings)[1] == before
    go_on.set()
    for thread in threads:
        thread.join()
    now = pointer.read(settings)
    assert now.previous is not None
    assert {now.live.model_version, now.previous.model_version} == {first, second}
    assert sorted(os.listdir(settings.home / "index")) == sorted(
        ["current.json", "history.jsonl", "states", now.live.name, now.previous.name]
    )
