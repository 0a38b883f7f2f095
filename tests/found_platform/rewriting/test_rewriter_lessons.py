"""Teaching a language model on this machine: lessons that are true and of the past alone, and tuning on their answers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Outcome
from small_shop import CUTOFF, LATER, MAILED, SHOP

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.rewriting import instructions, language_model, lessons, retrieval, tuning
from found_platform.settings import Settings

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
    lessons_text = " ".join(spoken(taught))
    assert LATER not in lessons_text
    assert MAILED not in lessons_text
    assert not any(r["user_key"] in lessons_text for r in rows)
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
        items = instructions.items_of(answer["content"])
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


def test_baskets_without_a_known_item_make_no_lessons_and_end(domain: lessons.Domain) -> None:
    nothing = [{"purchase": ["an item that nobody knows"]}, {"click": ["another"], "purchase": []}]
    assert lessons.demands(replace(domain, baskets=nothing), 5, seed=0) == []
    assert lessons.demands(replace(domain, baskets=[]), 5, seed=0) == []
    mixed = [*nothing, domain.baskets[0]]
    assert len(lessons.demands(replace(domain, baskets=mixed), 5, seed=0)) == 5
    empty = replace(domain.ground, items=domain.ground.items[domain.ground.texts :], texts=0)
    assert lessons.about_items(replace(domain, ground=empty), 5, seed=0) == []


@pytest.mark.parametrize("chat", [CHAT, None], ids=["chat template", "plain"])
def test_only_answers_are_learned(chat: str | None, tmp_path: Path, domain: lessons.Domain) -> None:
    taught = [*lessons.about_items(domain, 5, 0), *lessons.demands(domain, 5, 1)]
    name = tiny_model(tmp_path, spoken(taught), chat)
    _, tokenizer = language_model.load(name)
    for lesson in taught:
        rows = tuning.tokens(tokenizer, lesson, 4096)
        assert len(rows) == 1
        ids, labels = rows[0]
        assert tokenizer.decode(ids) == language_model.transcript(tokenizer, lesson, answered=True)
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


@pytest.mark.slow
def test_a_language_model_learns_both_stages_and_is_used(
    tmp_path: Path, shop: Settings, domain: lessons.Domain, found: Callable[..., Outcome]
) -> None:
    words = spoken([*lessons.about_items(domain, 80, 0), *lessons.demands(domain, 80, 1)])
    base = tiny_model(tmp_path / "base", words, CHAT)
    options = tuning.Options(examples=48, epochs=4, batch=16, learning_rate=2e-2, lora_rank=4)
    learned = tuning.train(shop, CUTOFF, base, tmp_path / "adapter", options)
    assert [stage.stage for stage in learned] == ["what there is", "demands"]
    for stage in learned:
        assert stage.steps == 12
        assert stage.after < stage.before - 0.02
        assert stage.last < stage.first
    written = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert written >= {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "training.json"}
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in written)
    assert json.loads((tmp_path / "adapter" / "training.json").read_text())["cutoff"] == "2024-02-01"

    model, tokenizer = language_model.load(str(tmp_path / "adapter"))
    rows = [row for lesson in lessons.demands(domain, options.examples, 1)[::10] for row in tuning.tokens(tokenizer, lesson, 1024)]
    assert tuning._held_out_loss(model, tokenizer, rows, 16) == pytest.approx(learned[1].after, rel=1e-4)
    answer = language_model.local(str(tmp_path / "adapter"))(instructions.rewriting("people who will buy gold", ["gold ring"], 7))
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
