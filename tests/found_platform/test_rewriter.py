"""Query rewriting: reading a demand, finding it in a small lake with the real text encoder, and language models."""

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome, at, lake_of, write_source

from found_platform import lake
from found_platform.embedding import text_vectors
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.targeting import rewriting
from found_platform.targeting.rewriting import Rewriting, ground, language_model, lessons, prompts, reading, retrieval, tuning

CUTOFF = dt.date(2024, 2, 1)
SHOP = {
    "wealth": ["gold ring", "gold necklace", "gold bar 10g", "silver bar", "silver ingot", "index fund", "savings plan"],
    "family": ["baby formula", "newborn diapers", "wet wipes for babies", "pushchair", "board game", "dollhouse"],
    "pets": ["dry dog food", "wet cat food", "cat litter", "dog leash"],
    "mobility": ["winter tyres", "engine oil", "petrol", "diesel", "metro day pass", "bus ticket"],
    "travel": ["flight ticket", "hotel night", "city break", "long-haul flight"],
    "daily": ["whole milk", "sourdough bread", "frozen pizza", "ground coffee", "bananas", "mineral water"],
    "style": ["jeans", "winter coat", "running shoes", "business suit", "perfume"],
    "learning": ["language course", "coding course", "driving lessons", "crime novel", "cookbook"],
}
LATER = "zeppelin flight over the lake"
MAILED = "saddle for horse riding"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small lake whose texts are encoded by the bundled encoder; one text is of after the cutoff, one was only mailed."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(40):
        for _ in range(10):
            category = str(rng.choice(list(SHOP)))
            items = rng.choice(SHOP[category], 2, replace=False)
            day = f"2024-01-{1 + int(rng.integers(31)):02d}"
            for item in map(str, items):
                row = {"user_id": f"u{user}", "event_time": at(day), "text": item, "category": category}
                events.append({**row, "amount": 10.0})
                events.append({**row, "channel": "search", "category": None})
    events.append({"user_id": "u1", "event_time": at("2024-02-03"), "text": LATER, "category": "travel"})
    events.append({"user_id": "u1", "event_time": at("2024-01-05"), "channel": "spm", "text": MAILED, "exposure": True})
    folder = tmp_path_factory.mktemp("shop")
    settings = lake_of(folder / "home", write_source(folder, events), encoder="offline-text")
    settings.keep()
    text_vectors.encode(settings, dt.date(2024, 3, 1))
    return settings


@pytest.fixture(scope="module")
def rewrite(shop: Settings) -> Callable[[str], Rewriting]:
    return rewriting.grounded(shop, CUTOFF).rewrite


# reading a demand


@pytest.mark.parametrize(
    ("demand", "parts", "unwanted", "kinds"),
    [
        ("people who will soon buy gold", ("gold",), (), ("purchase",)),
        ("people who will buy gold but not silver", ("gold",), ("silver",), ("purchase",)),
        ("Buyers of gold rings, necklaces or bars.", ("gold rings", "necklaces", "bars"), (), ("purchase",)),
        (
            "who buys pizza except frozen pizza or cheese, and also soda",
            ("pizza", "soda"),
            ("frozen pizza", "cheese"),
            ("purchase",),
        ),
        ("customers looking for language lessons", ("language lessons",), (), ("search",)),
        ("anyone opening the travel app", ("travel app",), (), ("click",)),
        ("those who browse or search for flights, never hotels", ("flights",), ("hotels",), ("browsing", "search")),
        ("pet owners who will buy cat food", ("cat food",), (), ("purchase",)),
        ("buyers of cat food who won't buy dog food", ("cat food",), ("dog food",), ("purchase",)),
        ("people who do not buy meat", (), ("meat",), ()),
        ("people not buying milk", (), ("milk",), ()),
        ("drinks without caffeine", ("drinks",), ("caffeine",), ()),
        ("not only milk but also bread", ("not only milk but bread",), (), ()),
        ("whose money will not last", ("not last",), (), ()),
        ("people who will", (), (), ()),
    ],
)
def test_what_a_demand_names_and_leaves_out(demand: str, parts: tuple, unwanted: tuple, kinds: tuple) -> None:
    read = reading.read(demand)
    assert (read.parts, read.unwanted, read.kinds) == (parts, unwanted, kinds)


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("in the next two weeks", 14),
        ("within 10 days", 10),
        ("next month", 30),
        ("over the next 3 months", 90),
        ("in a fortnight", 14),
        ("this weekend", 7),
        ("tomorrow", 1),
        ("in the coming weeks", None),
        ("soon", None),
        ("in 4000 years", None),
        ("in 99999999999999999999 days", None),
    ],
)
def test_when(said: str, days: int | None) -> None:
    read = reading.read(f"people who will buy gold {said}")
    assert read.horizon_days == days
    assert read.parts == ("gold",)


@pytest.mark.parametrize(
    ("demand", "amount", "parts"),
    [
        ("people who will spend more than 100 euros on wine", 100.0, ("wine",)),
        ("who buys a phone for over $1,200.50", 1200.5, ("phone",)),
        ("orders of laptops above 1.5k", 1500.0, ("laptops",)),
        ("spending at least 20 on coffee", 20.0, ("coffee",)),
        ("shoppers over 60 years old who buy tea", None, ("tea",)),
        ("spend at least 3 times on coffee", None, ("least times on coffee",)),
        ("more than 100 tents", None, ("tents",)),
    ],
)
def test_how_much(demand: str, amount: float | None, parts: tuple) -> None:
    read = reading.read(demand)
    assert (read.min_amount, read.parts) == (amount, parts)


def test_an_upper_limit_is_said_not_to_be_used() -> None:
    read = reading.read("people who spend less than 20 euros on coffee")
    assert read.parts == ("coffee",)
    assert read.min_amount is None
    assert "upper limit" in read.notes[0]


@pytest.mark.parametrize("demand", ["", "!?", "not", ", , but not", "über 20 €", "a" * 1000, "or or or", "1 2 3", "\\d+ [a-z"])
def test_nothing_a_person_writes_breaks_reading(demand: str, rewrite: Callable[[str], Rewriting]) -> None:
    found = rewrite(demand)
    assert 0 <= found.confidence <= 1
    assert bool(found.sentences) == bool(found.phrases)


# the grounded rewriter


@pytest.mark.parametrize(
    ("demand", "wanted"),
    [
        ("people who will soon buy gold", {"gold ring", "gold necklace", "gold bar 10g"}),
        ("families with a baby who will buy diapers", {"newborn diapers", "baby formula", "wet wipes for babies"}),
        ("cat owners", {"wet cat food", "cat litter", "pets"}),
        ("drivers who will fill up with petrol or diesel", {"petrol", "diesel", "engine oil"}),
        ("people who will book a flight or a hotel", {"flight ticket", "hotel night", "long-haul flight", "travel"}),
    ],
)
def test_a_demand_finds_its_items(demand: str, wanted: set[str], rewrite: Callable[[str], Rewriting]) -> None:
    found = rewrite(demand)
    assert found.phrases
    assert set(found.phrases) <= wanted
    assert found.note == ""
    assert found.confidence > 0.5
    assert found.by == "grounded"
    assert all(phrase in sentence for phrase in found.phrases for sentence in found.sentences)
    assert {m.text for m in found.matches} >= set(found.phrases)
    similarities = [m.similarity for m in found.matches]
    assert similarities == sorted(similarities, reverse=True)


def test_the_sentence_is_a_template_with_its_days(rewrite: Callable[[str], Rewriting]) -> None:
    found = rewrite("people who will buy cat litter in the next two weeks")
    assert found.phrases[0] == "cat litter"
    assert found.sentences == (f"In the next 14 days this person pays for {', '.join(found.phrases)}.",)
    asked = rewrite("people who will search for cat litter")
    assert asked.horizon_days is None
    assert asked.sentences[0].startswith("In the next 7 days this person searches for cat litter")  # the profile's horizon


def test_without_a_verb_the_kinds_are_those_of_the_items(rewrite: Callable[[str], Rewriting]) -> None:
    found = rewrite("cat litter fans")
    assert [sentence.split(" this person ")[1].split()[0] for sentence in found.sentences] == ["pays", "searches"]


def test_what_is_left_out_is_no_phrase(rewrite: Callable[[str], Rewriting]) -> None:
    plain = rewrite("people who will buy gold or silver")
    assert any("silver" in phrase for phrase in plain.phrases)
    found = rewrite("people who will buy gold but not silver")
    assert found.unwanted
    assert all("silver" in phrase for phrase in found.unwanted)
    assert all("gold" in phrase for phrase in found.phrases)
    assert {m.text for m in found.matches if m.negated}.isdisjoint(m.text for m in found.matches if not m.negated)
    assert "silver" not in " ".join(found.sentences)


@pytest.mark.parametrize(
    "demand",
    ["the derivative of a polynomial", "people who will buy a submarine", "black holes and neutron stars", "qwer zxcv uiop"],
)
def test_a_demand_that_resembles_nothing_says_so(demand: str, rewrite: Callable[[str], Rewriting]) -> None:
    found = rewrite(demand)
    assert found.sentences == found.phrases == ()
    assert retrieval.NOTHING in found.note
    assert found.confidence < 0.5


def test_a_part_that_resembles_nothing_is_named(rewrite: Callable[[str], Rewriting]) -> None:
    found = rewrite("people who will buy cat food, dog food or a neutron star")
    assert "“neutron star”" in found.note
    assert set(found.phrases) & {"wet cat food", "dry dog food"}


def test_demands_that_name_nobody(rewrite: Callable[[str], Rewriting]) -> None:
    for demand in ("people who will", "people who do not buy gold"):
        found = rewrite(demand)
        assert found.phrases == ()
        assert found.confidence == 0
        assert "names nothing" in found.note
    assert rewrite("people who do not buy gold").unwanted


def test_nothing_of_after_the_cutoff_and_nothing_that_was_done_to_users(shop: Settings) -> None:
    known = ground.of(shop, CUTOFF)
    assert LATER not in known.items
    assert LATER in ground.of(shop, dt.date(2024, 3, 1)).items
    assert MAILED not in ground.of(shop, dt.date(2024, 3, 1)).items
    assert MAILED in text_vectors.texts_before(shop, CUTOFF)["text"].to_pylist()


def test_counts_are_those_of_the_lake(shop: Settings) -> None:
    known = ground.of(shop, CUTOFF)
    rows = [r for r in lake.read(shop.lake, "raw_events").to_pylist() if r["event_date"] < CUTOFF and not r["exposure"]]
    for place, item in enumerate(known.items):
        column = "text" if place < known.texts else "category"
        mine = [r for r in rows if r[column] == item]
        assert known.events[place] == len(mine)
        assert known.kinds["search"][place] == sum(r["channel"] == "search" for r in mine)
    assert set(known.items[known.texts :]) == set(SHOP)
    np.testing.assert_allclose(np.linalg.norm(known.vectors[: known.texts], axis=1), 1, atol=1e-3)
    texts = known.vectors[: known.texts] + 0
    assert abs(texts.mean()) < 0.01


def test_the_ground_is_read_once(shop: Settings) -> None:
    assert ground.of(shop, CUTOFF) is ground.of(Settings.load(shop.home), CUTOFF)


def test_a_home_without_vectors_says_what_to_run(shop: Settings) -> None:
    with pytest.raises(BadInput, match="found demo --cutoff 2023-01-01"):
        rewriting.grounded(shop, dt.date(2023, 1, 1)).rewrite("gold")


def test_payment_methods_are_named_where_there_are_some(shop: Settings) -> None:
    from dataclasses import replace

    known = replace(ground.of(shop, CUTOFF), payment_methods=["Credit card", "Cash"])
    found = retrieval.on(known, "people who will buy gold by credit card", 28)
    assert found.sentences[-1] == "In the next 28 days this person pays by Credit card."
    assert len(retrieval.on(known, "people who will buy gold", 28).sentences) == 1


# the words between a language model and us


def test_an_answer_is_read_as_it_was_written() -> None:
    items = {"purchase": ["gold ring", "Choc. bar 2.5 oz"], "search": ["cheap gold ring"]}
    told = retrieval.sentences(items, 28)
    assert prompts.items_of("Sure, here you are:\n" + " ".join(told)) == items
    assert prompts.items_of("\n".join(told).upper()) == {k: [i.upper() for i in v] for k, v in items.items()}
    assert prompts.items_of("In the next 28 days nobody pays for gold.") == {}
    assert prompts.items_of("") == {}


def test_a_model_is_shown_the_demand_and_the_items() -> None:
    messages = prompts.rewriting("people who like gold", [f"item {i}" for i in range(50)], 14)
    assert [m["role"] for m in messages] == ["system", "user"]
    assert "In the next 14 days this person pays for ITEM, ITEM." in messages[0]["content"]
    assert "people who like gold" in messages[1]["content"]
    assert messages[1]["content"].count("- item") == prompts.EXAMPLES


# a model behind an address


class Service:
    """A chat completions server on loopback: says what `reply` gives, remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict, Any]] = []
        self.reply: Callable[[], tuple[int, bytes, dict]] = lambda: (200, b"", {})
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append((self.path, dict(self.headers), body))
                status, content, headers = service.reply()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                service.asked.append((self.path, dict(self.headers), None))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, content: object) -> None:
        said = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
        self.reply = lambda: (200, said, {"Content-Type": "application/json"})


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def ask(shop: Settings, service: Service) -> Callable[[str], Rewriting]:
    return rewriting.llm(shop, CUTOFF, "some-model", service.url).rewrite


def test_an_endpoint_is_asked_and_believed_where_it_speaks_of_the_lake(service: Service, ask: Callable[[str], Rewriting]) -> None:
    service.says("In the next 14 days this person pays for newborn diapers, baby formula, warp drive, silver bar.")
    found = ask("people whose nights are about to become short but not silver, in the next two weeks")
    assert found.by == "llm:some-model"
    assert found.phrases == ("newborn diapers", "baby formula")  # nothing that is not there, nothing that is unwanted
    assert found.sentences == ("In the next 14 days this person pays for newborn diapers, baby formula.",)
    assert {m.text for m in found.matches if not m.negated} >= set(found.phrases)
    path, headers, body = service.asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "some-model"
    assert body["temperature"] == 0
    assert "nights" in body["messages"][-1]["content"]
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("I cannot help with that.", "no sentence of the templates"),
        ("In the next 7 days this person pays for warp drive, neutron star.", "resembles the data"),
        (None, "no answer in words"),
    ],
)
def test_an_answer_that_cannot_be_used_gives_the_grounded_one(
    said: object, why: str, service: Service, ask: Callable[[str], Rewriting], rewrite: Callable[[str], Rewriting]
) -> None:
    service.says(said)
    found, plain = ask("people who will buy gold"), rewrite("people who will buy gold")
    assert why in found.note
    assert found.by == "grounded"
    assert (found.sentences, found.matches) == (plain.sentences, plain.matches)


def test_errors_redirects_and_silence_give_the_grounded_one(
    service: Service, ask: Callable[[str], Rewriting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "TIMEOUT", 0.5)
    monkeypatch.setenv(language_model.KEY, "sesame-key")

    def late() -> tuple[int, bytes, dict]:
        time.sleep(1.5)
        return 200, b"", {}

    for reply, why in (
        (lambda: (500, b"sesame-key", {}), "status 500"),
        (lambda: (302, b"", {"Location": f"{service.url}/elsewhere"}), "status 302"),
        (lambda: (200, b"<html>", {}), "gave no answer"),
        (lambda: (200, b"[]", {}), "gave no answer"),
        (late, "gave no answer"),
    ):
        service.reply = reply
        found = ask("people who will buy gold")
        assert why in found.note
        assert found.phrases
        assert "sesame" not in str(found)
    assert {path for path, _, _ in service.asked} == {"/v1/chat/completions"}  # redirects are not followed
    assert service.asked[0][1]["Authorization"] == "Bearer sesame-key"
    service.server.server_close()
    assert "gave no answer" in ask("people who will buy gold").note


def test_other_machines_must_be_named() -> None:
    for url in ("http://example.org/v1", "https://example.org/v1", "https://127.0.0.1.example.org/v1", "http://10.0.0.1/v1"):
        with pytest.raises(BadInput, match="not on this machine"):
            language_model.endpoint(url, "m")
    with pytest.raises(BadInput, match="use https"):
        language_model.endpoint("http://example.org/v1", "m", "example.org")
    with pytest.raises(BadInput, match=r"--allow-host example\.org"):
        language_model.endpoint("https://example.org/v1", "m", "example.com")
    language_model.endpoint("https://Example.org/v1", "m", "example.org")
    for url in ("http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://localhost/v1", "http://127.9.9.9/v1"):
        language_model.endpoint(url, "m")
    for url in (
        "ftp://127.0.0.1/v1",
        "127.0.0.1:80",
        "",
        "http://me:secret@127.0.0.1/v1",
        "http://127.0.0.1:99999/v1",
        "file:///etc/x",
    ):
        with pytest.raises(BadInput, match="must be an address") as told:
            language_model.endpoint(url, "m")
        assert "secret" not in str(told.value)


# a model on this machine

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|> {{ m.content }}{% if m.role == 'assistant' %}<eos>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)


def tiny_model(folder: Path, texts: list[str], chat: str | None) -> str:
    """A random Qwen2 of a few thousand weights with a tokenizer made of these texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = chat
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        eos_token_id=1,
        pad_token_id=0,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def domain(shop: Settings) -> lessons.Domain:
    return lessons.domain(shop, CUTOFF)


def spoken(taught: list[lessons.Lesson]) -> list[str]:
    return [message["content"] for lesson in taught for message in lesson]


def test_lessons_are_of_the_lake_before_the_cutoff_and_not_of_held_out_users(shop: Settings, domain: lessons.Domain) -> None:
    rows = lake.read(shop.lake, "raw_events").to_pylist()
    assert any(r["fold"] == 0 for r in rows)
    rows = [r for r in rows if not r["exposure"]]
    windows = {((CUTOFF - r["event_date"]).days - 1) // 7 for r in rows if r["event_date"] < CUTOFF}
    seen = {(r["user_key"], ((CUTOFF - r["event_date"]).days - 1) // 7) for r in rows if r["fold"] and r["event_date"] < CUTOFF}
    assert len(windows) == 5
    assert len(domain.baskets) == len(seen)
    taught = [*lessons.about_items(domain, 60, 0), *lessons.demands(domain, 60, 1)]
    said = " ".join(spoken(taught))
    assert LATER not in said
    assert MAILED not in said
    assert not any(r["user_key"] in said for r in rows)
    assert len(taught) == 120


def test_what_is_taught_is_true(domain: lessons.Domain) -> None:
    category = {item: name for name, items in SHOP.items() for item in items}
    rounds = [
        (lesson, ask["content"], answer["content"])
        for lesson in lessons.about_items(domain, 80, 0)
        for ask, answer in zip(lesson[1::2], lesson[2::2], strict=True)
    ]
    checked = 0
    for lesson, question, answer in rounds:
        item = lesson[1]["content"].split("“")[1].split("”")[0]
        if "ategory" in question:
            assert answer == f"{category[item]}."
            checked += 1
        if question.startswith("Is there"):
            assert (question.split("“")[1].split("”")[0] in category) == (answer == "Yes.")
            checked += 1
    assert checked == 160
    assert {len(lesson) for lesson in lessons.about_items(domain, 80, 0)} == {11}  # five rounds after the system's word


def test_a_taught_demand_is_answered_by_its_sentences(domain: lessons.Domain) -> None:
    taught = lessons.demands(domain, 60, 0)
    assert len(taught) == 60
    for system, user, answer in taught:
        items = prompts.items_of(answer["content"])
        assert items
        assert retrieval.sentences(items, int(answer["content"].split()[3])) == tuple(
            s.strip() + "." for s in answer["content"].rstrip(".").split(". ")
        )
        assert all(f"- {item}" in user["content"] for named in items.values() for item in named)
        if "in the next" in user["content"]:
            assert answer["content"].split(" days")[0] in user["content"].replace("in the next", "In the next")
        assert "Use only these forms" in system["content"]
        if " but not " in user["content"]:
            left_out = user["content"].split(" but not ")[1]
            assert left_out not in {item for named in items.values() for item in named}
            assert f"- {left_out}" in user["content"]
    assert any(" but not " in user["content"] for _, user, _ in taught)
    assert taught == lessons.demands(domain, 60, 0)
    assert taught != lessons.demands(domain, 60, 1)


@pytest.mark.parametrize("chat", [CHAT, None], ids=["chat template", "plain"])
def test_only_answers_are_learned(chat: str | None, tmp_path: Path, domain: lessons.Domain) -> None:
    taught = [*lessons.about_items(domain, 5, 0), *lessons.demands(domain, 5, 1)]
    name = tiny_model(tmp_path, spoken(taught), chat)
    _, tokenizer = language_model.load(name)
    for lesson in taught:
        rows = tuning.tokens(tokenizer, lesson, 4096)
        assert len(rows) == 1
        ids, labels = rows[0]
        assert tokenizer.decode(ids) == language_model.said(tokenizer, lesson, answered=True)
        learned = tokenizer.decode([t for t in labels if t != tuning.IGNORED])
        answers = [m["content"] for m in lesson if m["role"] == "assistant"]
        assert learned.replace("<eos>", " ").split() == " ".join(answers).split()
        assert learned.count("<eos>") == len(answers)
        assert tuning.tokens(tokenizer, lesson, 20)[0] == (ids[-20:], labels[-20:])


def test_a_template_that_rewrites_the_past_makes_a_row_a_round(tmp_path: Path, domain: lessons.Domain) -> None:
    lesson = lessons.about_items(domain, 1, 0)[0]
    forgetful = "{% for m in messages %}{% if loop.last or m.role != 'assistant' %}{{ m.content }}\n{% endif %}{% endfor %}"
    _, tokenizer = language_model.load(tiny_model(tmp_path, spoken([lesson]), forgetful))
    rows = tuning.tokens(tokenizer, lesson, 4096)
    assert len(rows) == 5
    answers = [m["content"] for m in lesson if m["role"] == "assistant"]
    assert [tokenizer.decode([t for t in labels if t != tuning.IGNORED]).strip() for _, labels in rows] == answers


def test_a_language_model_learns_both_stages_and_is_used(
    tmp_path: Path, shop: Settings, domain: lessons.Domain, found: Callable[..., Outcome]
) -> None:
    words = spoken([*lessons.about_items(domain, 80, 0), *lessons.demands(domain, 80, 1)])
    base = tiny_model(tmp_path / "base", words, CHAT)
    options = tuning.Options(examples=80, epochs=4, batch=16, learning_rate=2e-2, lora_rank=4)
    learned = tuning.train(shop, CUTOFF, base, tmp_path / "adapter", options)
    assert [stage.stage for stage in learned] == ["what there is", "demands"]
    for stage in learned:
        assert stage.steps == 20
        assert stage.after < stage.before - 0.02
        assert stage.last < stage.first
    written = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert written >= {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "training.json"}
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in written)
    assert json.loads((tmp_path / "adapter" / "training.json").read_text())["cutoff"] == "2024-02-01"

    model, tokenizer = language_model.load(str(tmp_path / "adapter"))
    rows = [row for lesson in lessons.demands(domain, 80, 1)[::10] for row in tuning.tokens(tokenizer, lesson, 1024)]
    assert tuning._held_out_loss(model, tokenizer, rows, 16) == pytest.approx(learned[1].after, rel=1e-4)
    answer = language_model.local(str(tmp_path / "adapter"))(prompts.rewriting("people who will buy gold", ["gold ring"], 7))
    assert isinstance(answer, str)

    again = tuning.train(shop, CUTOFF, base, tmp_path / "again", options)
    assert again == learned
    same = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("adapter", "again")]
    assert same[0] == same[1]

    arguments = ("rewrite", "people who will buy gold", "--home", shop.home, "--cutoff", CUTOFF, "--format", "json")
    outcome = found(*arguments, "--llm", tmp_path / "adapter")
    assert outcome.status == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["by"] == "llm:adapter" or "adapter was not used" in told["note"]  # so small a model need not be of use
    assert told["phrases"]
    with pytest.raises(BadInput, match="is an adapter"):
        tuning.train(shop, CUTOFF, str(tmp_path / "adapter"), tmp_path / "third")
    with pytest.raises(BadInput, match="not empty"):
        tuning.train(shop, CUTOFF, base, tmp_path / "base")


def test_a_model_that_is_not_there(shop: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give a directory"):
        rewriting.llm(shop, CUTOFF, "no-such-model")
    with pytest.raises(BadInput, match="cannot be loaded"):
        rewriting.llm(shop, CUTOFF, str(tmp_path))
    with pytest.raises(BadInput, match="Say which model"):
        rewriting.llm(shop, CUTOFF, None, "http://127.0.0.1/v1")


# the commands


def test_the_command_shows_what_matched(shop: Settings, found: Callable[..., Outcome], service: Service) -> None:
    arguments = ("rewrite", "people who will buy gold but not silver next month", "--home", shop.home, "--cutoff", CUTOFF)
    shown = found(*arguments)
    assert shown.status == 0, shown.err
    assert "In the next 30 days this person pays for gold" in shown.out
    assert "left out" in shown.out
    assert "horizon 30 days" in shown.out
    told = json.loads(found(*arguments, "--format", "json").out)
    assert told["horizon_days"] == 30
    assert told["cutoff"] == "2024-02-01"
    assert {"text", "kind", "similarity", "events", "negated"} == set(told["matches"][0])
    service.says("In the next 30 days this person pays for gold necklace.")
    by = json.loads(found(*arguments, "--endpoint", service.url, "--model", "m", "--format", "json").out)
    assert (by["by"], by["phrases"]) == ("llm:m", ["gold necklace"])


def test_the_command_refuses_what_it_cannot_do(shop: Settings, found: Callable[..., Outcome]) -> None:
    for extra, why in (
        (("--endpoint", "http://127.0.0.1/v1"), "--model"),
        (("--llm", "a", "--endpoint", "http://127.0.0.1/v1", "--model", "m"), "--llm"),
        (("--endpoint", "https://example.org/v1", "--model", "m"), "--allow-host"),
        (("--cutoff", "soon"), "--cutoff"),
    ):
        outcome = found("rewrite", "people who will buy gold", "--home", shop.home, "--cutoff", CUTOFF, *extra)
        assert outcome.status == 2
        assert why in outcome.err
    assert found("rewrite", " ", "--home", shop.home).status == 2
