"""What a warm look-up costs, in things that are opened, read and encoded: a clock says little on a busy machine."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pytest
import torch
import yaml
from pymilvus import MilvusClient

from found_platform import index
from found_platform.audiences import lookup
from found_platform.audiences.lookup import Question
from found_platform.audiences.question import Size
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models.text_encoder import TextEncoder

THINGS = ("gold", "a tent", "cat food", "running shoes", "a new phone", "flour", "a sofa", "diapers", "a lawnmower", "tea")
WHERE = "events_28d >= 2"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what takes long is called, by name."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        call = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return call(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    for owner, name in (
        (duckdb, "connect"),
        (MilvusClient, "__init__"),
        (MilvusClient, "query"),
        (MilvusClient, "load_collection"),
        (MilvusClient, "search"),
        (TextEncoder, "encode"),
        (yaml, "safe_load"),
    ):
        count(owner, name)
    monkeypatch.setattr(lookup, "FEW_MATCHES", 1)  # few match a filter in so small a population
    return counted


def answers_to(settings: Settings, things: tuple[str, ...], where: str | None = None) -> list[Any]:
    """An answer by the index to each demand, three times, in eight threads; each with settings read anew, as a request has them."""

    def ask(thing: str) -> Any:
        question = Question(f"people who will soon buy {thing}", mode="aligned", where=where)
        return lookup.find(Settings.load(settings.home), question, Size(top=10))

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, 3 * things))


@pytest.mark.parametrize("where", [None, WHERE])
def test_warm_look_ups_open_nothing_and_encode_each_demand_once(settings: Settings, calls: Counter[str], where: str | None) -> None:
    answers_to(settings, THINGS[:1], where)
    lookup._kept_query.cache_clear()
    calls.clear()
    answers = answers_to(settings, THINGS, where)
    assert not any(answer.exact for answer in answers)
    assert calls.pop("search") == 3 * len(THINGS)
    assert calls.pop("encode") == len(THINGS)
    assert not calls, "Milvus Lite makes a row of each user whom `query` counts; the others open or read what a process has"


def test_a_sentence_is_encoded_by_one_thread_and_others_keep_theirs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of a sentence spin while they wait for each other, on cores that other look-ups need."""
    encoder = text_vectors.encoder(settings.text_encoder)
    before, threads = torch.get_num_threads(), []
    tokenize: Callable[..., Any] = encoder.tokenize
    monkeypatch.setattr(encoder, "tokenize", lambda texts: threads.append(torch.get_num_threads()) or tokenize(texts))
    for mode in ("aligned", "late", "auto"):
        lookup._kept_query.cache_clear()
        lookup._kept_rank.cache_clear()
        lookup.find(settings, Question("people who will soon buy gold", mode=mode), Size(top=5))
    assert len(threads) >= 3
    assert set(threads) == {1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("where", [None, WHERE])
def test_an_embedded_index_of_many_users_is_not_asked_and_the_answer_is_the_same(
    settings: Settings, calls: Counter[str], monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    by_index = answers_to(settings, THINGS[:2], where)
    monkeypatch.setattr(lookup, "MOST_EMBEDDED", 10)
    calls.clear()
    exactly = answers_to(settings, THINGS[:2], where)
    assert not calls["search"]
    assert f"quicker than the embedded index for {index.live(settings).rows:,} users" in exactly[0].reason
    for exact, indexed in zip(exactly, by_index, strict=True):
        assert [user.user_id for user in exact.users] == [user.user_id for user in indexed.users]
        # the index sums in another order: the last digit of a score may differ
        assert [user.score for user in exact.users] == pytest.approx([user.score for user in indexed.users], abs=2e-6)
