"""The second rewriter: an instruct model, here or behind an address, is shown what is near the demand and asked for sentences.

What it answers is a proposal: a sentence must have a template's form, an item must resemble one of the lake.
"""

import datetime as dt
import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib import error, request
from urllib.parse import urlsplit

import numpy as np

from found_platform import outcomes
from found_platform.cache import single_flight
from found_platform.errors import BadInput
from found_platform.outcomes import Outcome
from found_platform.rewriting import ground, instructions, resemblance, retrieval, understanding
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.instructions import Message
from found_platform.rewriting.interface import Match, Rewriting
from found_platform.settings import Settings

KEY = "FOUND_LLM_KEY"
"""The environment variable with the key of an endpoint, if it needs one."""
TIMEOUT = 60.0
MOST_BYTES = 1_000_000
MOST_TOKENS = 256
RESEMBLES = 0.75
"""An item a model names must be as similar as this to one of the lake."""

Answer = Callable[[list[Message]], str]


class NoAnswer(RuntimeError):
    """A model did not answer, or with nothing that can be used. The message says why."""


class LanguageModelRewriter:
    """`answer` gives a model's reply to a conversation; it raises NoAnswer where there is none."""

    def __init__(self, settings: Settings, cutoff: dt.date, name: str, answer: Answer, lake_items: Ground | None = None):
        self.settings = settings
        self.cutoff = cutoff
        self.lake_items = lake_items
        self.name = name
        self.answer = answer

    def rewrite(self, demand: str) -> Rewriting:
        """See `Rewriter.rewrite`. Where the model's answer cannot be used, the grounded rewriting, and its note says so."""
        lake_items = self.lake_items or ground.of(self.settings, self.cutoff)
        plain = retrieval.on(lake_items, demand, self.settings.horizon_days)
        read, named = understanding.understand(lake_items, demand)
        whole, _, unwanted = retrieval.meaning(lake_items, read)
        near = [lake_items.items[i] for i in np.argsort(-(lake_items.vectors @ whole), kind="stable")[: instructions.EXAMPLES]]
        days = plain.horizon_days or self.settings.horizon_days
        try:
            answer = self.answer(instructions.rewriting(demand, [*dict.fromkeys([*plain.phrases, *near])], days))
            if (content := instructions.outcome_of(answer)) is not None:
                return self._stated(plain, _outcome(lake_items, content))
            items, nearest = _checked(lake_items, instructions.items_of(answer), whole, unwanted)
            if plain.outcome is not None and not plain.outcome.is_about_goods:
                raise NoAnswer("its sentences cannot say what this demand counts, denies or joins")
            phrases = tuple(dict.fromkeys(item for items_of_kind in items.values() for item in items_of_kind))
            as_read = replace(read, kinds=tuple(kind for kind in items if kind in lake_items.kinds), is_general=False)
            outcome, doubt, _ = retrieval.stated(
                lake_items, as_read, list(phrases), list(plain.unwanted), named, self.settings.horizon_days
            )
            if doubt:
                raise NoAnswer(doubt)
        except NoAnswer as reason:
            note = f"{self.name} was not used ({reason}): this is the grounded rewriting"
            return replace(plain, note="; ".join(filter(None, [plain.note, note])))
        own = [
            Match(
                text=lake_items.items[i],
                kind="text" if i < lake_items.texts else "category",
                similarity=round(float(lake_items.vectors[i] @ whole), 3),
                events=int(lake_items.events[i]),
                negated=False,
            )
            for i in nearest
        ]
        matches = sorted({m.text: m for m in [*own, *plain.matches] if not m.negated}.values(), key=lambda m: -m.similarity)
        return replace(
            plain,
            sentences=retrieval.sentences(items, days),
            phrases=phrases,
            matches=(*matches, *(m for m in plain.matches if m.negated)),
            by=f"llm:{self.name}",
            outcome=outcome,
            doubt="",
        )

    def _stated(self, plain: Rewriting, outcome: Outcome) -> Rewriting:
        """The rewriting with an outcome that the model stated."""
        about = outcome.will[0].do.about
        note = "" if plain.doubt else plain.note
        return replace(plain, phrases=about, outcome=outcome, doubt="", note=note, confidence=1.0, by=f"llm:{self.name}")


def _outcome(lake_items: Ground, content: Any) -> Outcome:
    """The outcome that a model stated, about items that resemble the lake. Raises NoAnswer where it cannot be used."""
    try:
        outcome = outcomes.parse(content, "its outcome")
    except BadInput as error:
        raise NoAnswer(str(error).removesuffix(".")) from None
    statements = []
    for statement in outcome.will:
        phrases = list(statement.do.about)
        similar = (lake_items.ask(phrases) @ lake_items.vectors.T).max(1) if phrases else np.empty(0)
        kept = tuple(phrase for phrase, close in zip(phrases, similar, strict=True) if close >= RESEMBLES)
        if phrases and not kept:
            raise NoAnswer("nothing in the data resembles the items of its outcome")
        act = statement.do.model_copy(update={"about": kept})
        statements.append(statement.model_copy(update={"do": act}))
    return outcome.model_copy(update={"will": tuple(statements)})


def _checked(
    lake_items: Ground, items: dict[str, list[str]], whole: np.ndarray, unwanted: np.ndarray
) -> tuple[dict[str, list[str]], list[int]]:
    """The items by kind that resemble the lake and nothing unwanted, and what each resembles most. Raises NoAnswer without any."""
    phrases = list(dict.fromkeys(item for named in items.values() for item in named))
    if not phrases:
        raise NoAnswer("its answer holds no sentence of the templates")
    vectors = lake_items.ask(phrases)
    similar = vectors @ lake_items.vectors.T
    against = (vectors @ unwanted.T).max(1, initial=-1.0)
    left_out = (against >= resemblance.floors(lake_items).part) & (against > vectors @ whole)
    fine = (similar.max(1) >= RESEMBLES) & ~left_out
    kept = {item: int(row.argmax()) for item, row, good in zip(phrases, similar, fine, strict=True) if good}
    if not kept:
        raise NoAnswer("none of the items it names resembles the data")
    chosen = {kind: [item for item in named if item in kept][: retrieval.MOST_PHRASES] for kind, named in items.items()}
    return chosen, [kept[item] for item in dict.fromkeys(item for named in chosen.values() for item in named)]


def local(name: str) -> Answer:
    """A causal language model of transformers: a directory, one that `found rewriter train` wrote, or a hub name.

    Only a hub name may reach the network; weights are read from safetensors, code of a model is never run. Raises BadInput when it
    cannot be loaded.
    """
    model, tokenizer = load(name)

    def answer(messages: list[Message]) -> str:
        import torch

        inputs = tokenizer(transcript(tokenizer, messages), return_tensors="pt", add_special_tokens=False).to(model.device)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            out = model.generate(
                **inputs,
                max_new_tokens=MOST_TOKENS,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=tokenizer.pad_token_id,
            )
        return tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


@single_flight(1)
def load(name: str) -> tuple[Any, Any]:
    """A model ready to answer and its tokenizer, see `local`; an adapter is loaded onto the base that it names."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from models import weights
    from models.device import chosen_device

    logging.disable_progress_bar()
    folder = Path(name)
    if not folder.is_dir() and ("/" not in name or name.startswith(("/", ".", "~"))):
        raise BadInput(
            f"There is no language model {name!r}: give a directory with one, or a hub name such as Qwen/Qwen2-1.5B-Instruct."
        )
    device = chosen_device()
    adapter = folder / weights.ADAPTER_CONFIG
    base = _base(adapter) if adapter.is_file() else name
    try:
        for part in {name, base}:
            weights.refuse_pickled_adapter(part, local=Path(part).is_dir())
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=folder.is_dir(), trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_pretrained(
            base,
            local_files_only=Path(base).is_dir(),
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,  # half precision is slower than single on a CPU
        )
        if adapter.is_file():
            model = PeftModel.from_pretrained(model, name)
    except (OSError, ValueError) as problem:
        raise BadInput(f"The language model {name!r} cannot be loaded: {str(problem).splitlines()[0]}") from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


def _base(adapter: Path) -> str:
    """The model that an adapter was made for."""
    try:
        base = json.loads(adapter.read_text())["base_model_name_or_path"]
    except (OSError, ValueError, LookupError, TypeError):
        base = None
    if not isinstance(base, str):
        raise BadInput(f"{adapter} names no base model: give a directory that `found rewriter train` or peft wrote.")
    return base


def transcript(tokenizer: Any, messages: list[Message], answered: bool = False) -> str:
    """A conversation as this model reads it, by its chat template or plainly; unless `answered`, it ends where an answer begins."""
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=not answered)
    end = tokenizer.eos_token or "\n"
    lines = [f"{m['role'].capitalize()}: {m['content']}{end if m['role'] == 'assistant' else ''}\n" for m in messages]
    return "".join(lines) + ("" if answered else "Assistant: ")


def endpoint(url: str, model: str, allow_host: str | None = None) -> Answer:
    """A model behind an address that speaks OpenAI's chat completions, such as `http://127.0.0.1:8000/v1`.

    The demand and item names of the lake are sent there, so an address that is not loopback must be named by `allow_host` too, and
    be https. The key is read from the environment at each call and goes nowhere else; redirects are not followed. Raises BadInput.
    """
    host = _host(url, allow_host)
    path = url.rstrip("/") if url.rstrip("/").endswith("/chat/completions") else url.rstrip("/") + "/chat/completions"
    through = [request.ProxyHandler({})] if _loopback(host) else []
    opener = request.build_opener(_NoRedirect, *through)

    def answer(messages: list[Message]) -> str:
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": MOST_TOKENS}
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        try:
            with opener.open(request.Request(path, json.dumps(body).encode(), headers), timeout=TIMEOUT) as reply:
                content = json.loads(reply.read(MOST_BYTES))["choices"][0]["message"]["content"]
        except error.HTTPError as problem:
            raise NoAnswer(f"{host} answered with status {problem.code}") from None
        except TimeoutError:
            raise NoAnswer(f"{host} gave no answer within {TIMEOUT:g} seconds") from None
        except OSError as problem:
            why = getattr(problem, "reason", problem)
            raise NoAnswer(f"{host} gave no answer: {getattr(why, 'strerror', None) or why}") from None
        except (ValueError, LookupError, TypeError):
            raise NoAnswer(f"{host} gave no answer: what it sent is no chat completion") from None
        if not isinstance(content, str):
            raise NoAnswer(f"{host} gave no answer in words")
        return content

    return answer


class _NoRedirect(request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Elsewhere is not where the person said."""


def _host(url: str, allowed: str | None) -> str:
    try:
        parts = urlsplit(url)
        host, scheme, _ = parts.hostname, parts.scheme, parts.port
    except ValueError:
        host, scheme, parts = None, "", urlsplit("")
    if host is None or scheme not in ("http", "https") or parts.username or parts.password:
        raise BadInput("The endpoint must be an address such as http://127.0.0.1:8000/v1, without a name or password in it.")
    if _loopback(host):
        return host
    if host != (allowed or "").lower():
        raise BadInput(
            f"The endpoint {host} is not on this machine: the demand and names of items in the data would be sent there. "
            f"If that is meant, say so with --allow-host {host}, or by the setting FOUND_REWRITER_HOST={host}."
        )
    if scheme != "https":
        raise BadInput(f"The endpoint {host} is not on this machine: use https.")
    return host


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
