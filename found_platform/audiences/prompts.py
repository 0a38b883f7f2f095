"""Tuned prompts: few-shot heads with a name, registered in MLflow, each bound to the model version whose vectors it was tuned on.

What a prompt is made from, its demand, seeds and negatives, lies in the Delta table `prompt_seeds` and outlives model versions: for
a new one, every prompt is tuned anew. Keys of users are in that table alone.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import home, index, lake, registry, rewriting, row_hash
from found_platform.contract import normalise_text
from found_platform.errors import BadInput, Conflict, NotFound
from found_platform.privacy import suppression
from found_platform.scoring import few_shot, scorers
from found_platform.scoring.demand import Demand
from found_platform.scoring.few_shot import FewShotHead, Tuner
from found_platform.scoring.population import Population
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    from models.saved import Model

TABLE = "prompt_seeds"
SCHEMA = pa.schema(
    [
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("demand", pa.string(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("wanted", pa.bool_(), nullable=False),  # a seed, or else a negative
    ]
)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


@dataclass(frozen=True)
class Specification:
    """What a prompt is tuned from: one sentence, and keys of users who are wanted and who are not."""

    name: str
    demand: str
    seeds: frozenset[str]
    negatives: frozenset[str]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.demand, sorted(self.seeds), sorted(self.negatives)]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Tuned:
    """A prompt for one model version. Its head asks the vectors of that version and of no other.

    `version` is the prompt's own in the registry. `seeds` and `negatives` count the users it was tuned on, whose history is that
    before 00:00 of `as_of`. `missing` are keys that were given and have none; they are said once, when the prompt is tuned.
    """

    name: str
    demand: str
    version: str
    model_version: str
    as_of: str
    seeds: int
    negatives: int
    head: FewShotHead
    missing: frozenset[str] = frozenset()


def tune(settings: Settings, name: str, demand: str, seeds: AbstractSet[str], negatives: AbstractSet[str] | None = None) -> Tuned:
    """Tunes a prompt on what is published, saves what it is made from, and registers it. It replaces the prompt of that name.

    Args:
        demand: one sentence.
        seeds: keys of users who are wanted, three at least with a history.
        negatives: keys of users who are not wanted.

    Raises BadInput for a name, a demand or seeds that cannot be used; what was before stays.
    """
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name of a prompt: use up to 50 small letters, digits, - and _, a letter or digit first.")
    demand = normalise_text(demand)
    if not demand:
        raise BadInput('The demand is empty: say in one sentence whom you want to reach, such as "people who will soon buy gold".')
    spec = Specification(name, demand, frozenset(seeds), frozenset(negatives or ()))
    published = index.live(settings)
    tuned = _tune(settings, spec, published.model_version, dt.date.fromisoformat(published.as_of))
    rows = [(key, True) for key in sorted(spec.seeds)] + [(key, False) for key in sorted(spec.negatives)]
    table = pa.Table.from_pylist([{"prompt": name, "demand": demand, "user_key": k, "wanted": w} for k, w in rows], schema=SCHEMA)
    lake.replace(settings.lake, TABLE, table, schema=SCHEMA, partition_by=("prompt",), predicate=f"prompt = '{name}'")
    return _register(settings, spec, tuned)


def retune(settings: Settings, model_version: str, as_of: dt.date) -> tuple[list[Tuned], dict[str, str]]:
    """Every saved prompt for a model version and a day, and by name why one cannot be tuned. What is there is not tuned again."""
    tuned, failed = [], {}
    for name in names(settings):
        spec = specification(settings, name)
        try:
            registered = _registered(settings, name, model_version, as_of=str(as_of), specification=spec.digest)
            tuned.append(registered or _register(settings, spec, _tune(settings, spec, model_version, as_of)))
        except BadInput as why:
            failed[name] = str(why)
    return tuned, failed


def load(settings: Settings, name: str, model_version: str) -> Tuned:
    """A prompt as it was last tuned for a model version. Raises BadInput that names the command where it never was."""
    specification(settings, name)
    tuned = _registered(settings, name, model_version)
    if tuned is None:
        raise BadInput(
            f"The prompt {name!r} is not tuned for model version {model_version}, and other versions have other vectors: "
            f"run `found audience tune {name}{home.option(settings.home)}`, which uses the seeds it was given before."
        )
    return tuned


def names(settings: Settings) -> list[str]:
    """The saved prompts, by name."""
    if not lake.exists(settings.lake, TABLE):
        return []
    return sorted(set(lake.read(settings.lake, TABLE, columns=["prompt"])["prompt"].to_pylist()))


def specification(settings: Settings, name: str) -> Specification:
    """What a prompt is tuned from. Raises BadInput for a name that is not saved."""
    rows = lake.read(settings.lake, TABLE, pad.field("prompt") == name).to_pylist() if lake.exists(settings.lake, TABLE) else []
    if not rows:
        saved_names = ", ".join(names(settings)) or "none is saved"
        raise NotFound(
            f"There is no prompt {name!r} ({saved_names}): make it with `found audience tune NAME --demand … --seeds FILE`."
        )
    seeds, negatives = (frozenset(r["user_key"] for r in rows if r["wanted"] == is_seed) for is_seed in (True, False))
    return Specification(name, rows[0]["demand"], seeds, negatives)


def check_unchanged(settings: Settings, name: str, after: str) -> None:
    """Raises Conflict where a prompt is made from something else than what was read (its `digest`); "" is that there was none."""
    now = specification(settings, name).digest if name in names(settings) else ""
    if now == after:
        return
    if not now:
        raise Conflict(f"The prompt {name!r} is gone since you read it: tune it as a new one.")
    since = "since you read it" if after else "already, so the name is taken"
    raise Conflict(
        f"Somebody has tuned the prompt {name!r} from another demand or other users {since}: nothing is overwritten. Look at it, "
        "then tune yours again, or give yours another name."
    )


def tuner(model: "Model", demand: str) -> Tuner:
    """Prompt tuning of a demand by a model, as `few_shot.fit` calls it."""
    import torch

    from models import prompt_tuning, text_encoder

    # gradients need the weights as they were published
    encoder = text_vectors.encoder(text_encoder.whole(model.config.encoder))

    def tuned(seeds: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        width = model.config.dim
        aligned = [(torch.from_numpy(near[:, :width]), torch.from_numpy(far[:, :width])) for near, far in seeds]
        prompts = prompt_tuning.tune(model, encoder, demand, aligned)
        return np.stack([prompt.query.numpy() for prompt in prompts])

    return tuned


def fingerprint(settings: Settings) -> str:
    """A hash of all that prompts are made from."""
    return row_hash.of_table(settings.lake, TABLE) if lake.exists(settings.lake, TABLE) else ""


def _tune(settings: Settings, spec: Specification, model_version: str, as_of: dt.date) -> Tuned:
    """A prompt that is not registered yet."""
    population = _population(settings, model_version, as_of)
    with_history = np.flatnonzero(population.has_history)
    keys, vectors = population.keys.take(with_history), population.vectors[with_history]
    row = {key: i for i, key in enumerate(keys)}
    seeds, negatives = (sorted(row[key] for key in group if key in row) for group in (spec.seeds, spec.negatives))
    missing = (spec.seeds | spec.negatives) - row.keys()
    if len(seeds) < few_shot.MIN_SEEDS:
        raise BadInput(
            f"Of {len(spec.seeds)} seeds of the prompt {spec.name!r}, {len(seeds)} have a history before {as_of}: "
            f"{few_shot.MIN_SEEDS} at least are needed. Check that the ids are written as in the source."
        )
    demand_query = _query_of(population, spec.demand)
    head = few_shot.fit(vectors, keys, seeds, negatives, demand_query, tuner(population.model, spec.demand))
    offered = head.suggested_negatives
    may_be_shown = suppression.allowed(settings, offered, as_of)
    head = replace(head, suggested_negatives=[key for key, may in zip(offered, may_be_shown, strict=True) if may])
    return Tuned(spec.name, spec.demand, "", model_version, str(as_of), len(seeds), len(negatives), head, frozenset(missing))


def _population(settings: Settings, model_version: str, as_of: dt.date) -> Population:
    """The states of a model version: as they were published, where they are, else from the lake."""
    if index.is_live(settings, model_version, str(as_of)):
        return Population.published(settings, index.live(settings))
    return Population.stored(settings, model_version, as_of)


def _query_of(population: Population, demand: str) -> np.ndarray:
    """The demand before any seed is seen, as a query (W',): what `auto` says of everybody, imitated where it is no query itself."""
    settings = population.settings
    rewritten = Demand.of(rewriting.of_home(settings, population.cutoff, population.states.ground).rewrite(demand))
    ranking = scorers.rank(population, rewritten, scorers.DEFAULT, settings.horizon_days)
    if ranking.query is not None:
        return ranking.query
    with_history = population.has_history
    return few_shot.imitate(population.vectors[with_history], ranking.of(population)[with_history])


def _register(settings: Settings, spec: Specification, tuned: Tuned) -> Tuned:
    """Registers a prompt; returns it with its version."""
    about = {k: v for k, v in asdict(tuned).items() if k not in ("version", "missing", "head")}
    head = {k: v for k, v in asdict(tuned.head).items() if k not in ("query", "suggested_negatives")}
    version = registry.log_prompt(
        settings,
        tuned.name,
        tuned.head.query,
        {**about, "head": head},
        run_name=f"{tuned.name} for version {tuned.model_version}",
        parameters={"head": tuned.head.kind},
        metrics={"leave_one_out": tuned.head.leave_one_out[tuned.head.kind]},
        tags={"model_version": tuned.model_version, "as_of": tuned.as_of, "specification": spec.digest},
    )
    return Tuned(**{**tuned.__dict__, "version": version})


def _registered(settings: Settings, name: str, model_version: str, **tags: str) -> Tuned | None:
    """The newest version of a prompt for a model version, with these tags. None where there is none."""
    newest = registry.load_prompt(settings, name, {"model_version": model_version, **tags})
    if newest is None:
        return None
    version, about, query = newest
    head = FewShotHead(**about.pop("head"), query=query, suggested_negatives=[])
    return Tuned(**about, version=version, head=head)
