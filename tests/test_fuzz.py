"""Whatever a person gives, it is taken or refused in a sentence: no trace, no half-written state.

`make fuzz` draws ten thousand inputs anew; here it is a thousand of them, always the same ones. FOUND_FUZZ is how many.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fuzzing
import pyarrow as pa
import pytest
from conftest import at, write_source
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from found_platform import contract, documents
from found_platform.app import access
from found_platform.app.context import Actor, Context
from found_platform.audiences import understanding
from found_platform.errors import MOST_CHARACTERS, BadInput
from found_platform.evaluation import scenarios
from found_platform.outcomes import document
from found_platform.privacy import keys, suppression, user_files
from found_platform.rewriting import reading
from found_platform.scoring import filters
from found_platform.serving.application import create_app
from found_platform.serving.options import Options
from found_platform.settings import Settings
from found_platform.sources import config, examination, init, staging

INPUTS = int(os.environ.get("FOUND_FUZZ", "1000"))
INSIDE = re.compile(r"Traceback|<class|object at 0x|\b[A-Z]\w+(Error|Exception)\b(?!s)")
"""What a sentence must not hold: names of classes and traces."""


def share(of_hundred: float) -> Callable[[Any], Any]:
    """So many of a hundred inputs, the same ones each time unless more are asked for than the tests draw."""
    return settings(
        max_examples=max(5, round(INPUTS * of_hundred / 100)),
        derandomize=INPUTS <= 1000,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def refused_in_a_sentence(call: Callable[[], Any]) -> str | None:
    """What is said where a call refuses what it was given; None where it takes it. Any other error is a fault."""
    try:
        call()
    except BadInput as refusal:
        sentence = str(refusal)
        assert sentence.strip().endswith((".", "?")), sentence
        assert len(sentence) <= MOST_CHARACTERS + 3
        assert not INSIDE.search(sentence), sentence
        return sentence
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.slow
@share(20)
@given(fuzzing.documents(fuzzing.SOURCE))
def test_a_source_file(text: str) -> None:
    refused_in_a_sentence(lambda: config.parse_text(text, "source.yaml"))


@share(12)
@given(fuzzing.documents(fuzzing.OUTCOME))
def test_an_outcome(text: str) -> None:
    refused_in_a_sentence(lambda: document.parse(documents.parse(text, "mine.yaml")))


@share(6)
@given(fuzzing.documents(fuzzing.SCENARIOS).map(lambda text: text.encode(errors="replace")))
def test_a_file_of_scenarios(folder: Path, data: bytes) -> None:
    path = folder / "scenarios.yaml"
    path.write_bytes(data)
    settings = Settings.load(folder / "home")
    refused_in_a_sentence(lambda: [scenarios._scenario(settings, spec, [], None) for spec in scenarios._specs(path)])  # pyright: ignore


@share(16)
@given(fuzzing.filters)
def test_a_filter(text: str) -> None:
    kinds = {"age_band": pa.string(), "city": pa.string(), "events_28d": pa.int64(), "is_new": pa.bool_()}
    columns = pa.schema(list(kinds.items()))
    users = pa.table({name: pa.array([None, None], kind) for name, kind in kinds.items()})

    def select() -> None:
        where = filters.parse(text, columns)
        filters.to_milvus(where)
        filters.in_words(where)
        filters.selected(where, users, "1GB")

    refused_in_a_sentence(select)


@share(12)
@given(fuzzing.demands)
def test_a_demand(text: str) -> None:
    refused_in_a_sentence(lambda: reading.read(understanding.check_demand(text)))
    refused_in_a_sentence(lambda: reading.clauses(understanding.check_demand(text)))


@share(4)
@given(fuzzing.texts)
def test_a_day_and_an_id(text: str) -> None:
    refused_in_a_sentence(lambda: contract.parse_day(text, "--as-of"))
    refused_in_a_sentence(lambda: keys.user_key(b"0" * 16, text))


@share(10)
@given(st.one_of(fuzzing.csv_files(), fuzzing.parquet_files()), st.sampled_from(["csv", "txt", "csv.gz", "parquet"]))
def test_a_file_of_seeds(folder: Path, data: bytes, ending: str) -> None:
    path = folder / f"seeds.{ending}"
    path.write_bytes(data)
    refused_in_a_sentence(lambda: list(user_files.read(path, ("reason",))))


@share(2)
@given(fuzzing.csv_files())
def test_a_list_of_suppressed_users_is_taken_whole_or_not_at_all(folder: Path, data: bytes) -> None:
    settings, path = _home(folder), folder / "suppressed.csv"
    path.write_bytes(data)
    before = suppression.current(settings).num_rows
    change: list[suppression.Change] = []
    refusal = refused_in_a_sentence(lambda: change.append(suppression.add(settings, path, "asked")))
    assert suppression.current(settings).num_rows - before <= (0 if refusal else change[0].changed)


FILES = {"csv": fuzzing.csv_files(), "jsonl": fuzzing.jsonl_files, "parquet": fuzzing.parquet_files()}
MAPPED = {name: {"user_id": "user_id", "event_time": "event_time", "text": "text"} for name in FILES}


@pytest.mark.slow
@share(6)
@given(st.sampled_from(sorted(FILES)).flatmap(lambda kind: st.tuples(st.just(kind), FILES[kind])))
def test_the_files_of_a_source(folder: Path, file: tuple[str, bytes]) -> None:
    kind, data = file
    (folder / f"log.{kind}").write_bytes(data)
    entry = {"path": str(folder / f"log.{kind}"), "columns": MAPPED[kind]}
    source = config.parse({"name": "shop", "channels": {"pay_bill": entry}}, "source.yaml")
    settings = Settings.load(folder / "untouched")
    refused_in_a_sentence(lambda: examination.examine(settings, source))
    assert not settings.home.exists()


@share(4)
@given(st.sampled_from(sorted(FILES)).flatmap(lambda kind: st.tuples(st.just(kind), FILES[kind])))
def test_the_files_that_a_source_file_is_written_from(folder: Path, file: tuple[str, bytes]) -> None:
    kind, data = file
    (folder / f"log.{kind}").write_bytes(data)
    out = folder / "written.yaml"
    out.unlink(missing_ok=True)
    refusal = refused_in_a_sentence(lambda: init.write([folder / f"log.{kind}"], out=out))
    assert refusal is None or not out.exists()


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    """A server over a home where nothing is published, for an admin."""
    home = _home(folder).home
    secret = access.create_token(Context(home, Actor("ann", "test")), access.NewToken("fuzz", "admin")).secret
    app = create_app(Options(home, rate=1_000_000), warm=False)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    with TestClient(app, base_url="http://127.0.0.1:8321", headers=headers, raise_server_exceptions=False) as opened:
        yield opened


@pytest.mark.slow
@share(8)
@given(st.sampled_from(sorted(fuzzing.BODIES)).flatmap(lambda path: st.tuples(st.just(path), fuzzing.bodies(fuzzing.BODIES[path]))))
def test_the_body_of_a_request(client: TestClient, request_of: tuple[str, bytes]) -> None:
    path, body = request_of
    answer = client.post(f"/api/v1{path}", content=body)
    assert answer.status_code < 500, (path, body, answer.text)
    if answer.status_code >= 400:
        assert not INSIDE.search(answer.json()["detail"]), answer.text
    if answer.status_code == 202:
        client.get(f"{answer.headers['location']}/events")
        job = client.get(answer.headers["location"]).json()
        problem = job.get("problem")
        assert problem is None or problem["status"] < 500, (path, body, problem)


def _home(folder: Path) -> Settings:
    """A home whose source is staged, and where nothing else has run."""
    settings = Settings.load(folder / "home", profile="tiny")
    if not (settings.home / "source.yaml").exists():
        events = [{"user_id": f"u{i % 7}", "event_time": at(f"2026-01-{1 + i % 20:02d}"), "text": "gold ring"} for i in range(40)]
        source = config.load(write_source(folder / "source", events))
        staging.open_home(settings, staging.discover(settings, source))
        staging.stage(settings)
    return settings
