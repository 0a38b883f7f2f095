"""A look-up: one sentence and a filter in, ranked users out, with what answered and as of when.

Small audiences go through the index; where few users match the filter, where the audience is large, where it is asked, or where
another process holds the index, everybody is scored exactly over Delta. The answer says which.
"""

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from found_platform import index, lake, registry
from found_platform.contract import normalise_text
from found_platform.embedding import text_vectors, users
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.targeting import filters

if TYPE_CHECKING:
    from models.saved import Model

MAX_DEMAND = 1000
FEW_MATCHES = 1000
"""Under this many matching users, exact scoring is as fast as the index and never misses one."""


@dataclass(frozen=True)
class FoundUser:
    """One user of an audience. `score` is the inner product with the demand; the rest comes with calibration and explanations."""

    user_id: str
    score: float
    probability: float | None = None
    evidence: list[str] | None = None


@dataclass(frozen=True)
class Audience:
    """The answer to a demand. `exact` is false where the vector index answered."""

    query: str
    rewritten: str | None
    mode: str
    reason: str
    exact: bool
    as_of: str
    model_version: str
    index_version: str
    count: int
    users: list[FoundUser] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_demand(sentence: str) -> str:
    """The sentence in normal form. Raises BadInput when it is empty or too long."""
    sentence = normalise_text(sentence)
    if not sentence:
        raise BadInput('The demand is empty: say in one sentence whom you want to reach, such as "people who will soon buy gold".')
    if len(sentence) > MAX_DEMAND:
        raise BadInput(f"The demand has {len(sentence):,} characters: one sentence of at most {MAX_DEMAND:,} is understood.")
    return sentence


def find(settings: Settings, sentence: str, *, top: int = 20, where: str | None = None, exact: bool = False) -> Audience:
    """The `top` users for a demand among those that `where` selects, best first.

    Users without any history are never returned. Raises BadInput for a demand, filter or number that cannot be used.
    """
    if top < 1:
        raise BadInput(f"--top is {top}: ask for at least one user.")
    demand = check_demand(sentence)
    comparisons = filters.parse(where, index.filter_columns(settings)) if where else []
    published = index.live(settings)
    loaded = registry.load(settings, published.model_version)
    query = embed_sentences(loaded.model, [demand])[0]
    as_of = dt.date.fromisoformat(published.as_of)

    matches = _matching(settings, as_of, comparisons) if comparisons else None
    reason = ""
    if exact:
        reason = "exact scoring was asked for"
    elif top > index.MAX_LIMIT:
        reason = f"the audience is larger than {index.MAX_LIMIT:,}"
    elif matches is not None and len(matches) < FEW_MATCHES:
        reason = f"only {len(matches):,} users match the filter"
    ranked: list[tuple[str, float]] | None = None
    if not reason:
        try:
            ranked = index.search(settings, published, query, top, filters.to_milvus(comparisons))
        except index.IndexBusy as busy:
            reason = str(busy)
    if ranked is None:
        ranked = _score_all(settings, published.model_version, as_of, query, top, matches)
    names = keys.user_ids(settings, [key for key, _ in ranked])
    return Audience(
        query=sentence,
        rewritten=None,
        mode="aligned",
        reason=f"scored over all users: {reason}" if reason else "answered by the index",
        exact=bool(reason),
        as_of=published.as_of,
        model_version=published.model_version,
        index_version=published.name.removesuffix(".db"),
        count=len(ranked),
        users=[FoundUser(names[key], round(score, 6)) for key, score in ranked],
    )


def embed_sentences(model: "Model", sentences: list[str]) -> np.ndarray:
    """Query vectors (B, D) of demand sentences: they ask the first D places of the model's user vectors."""
    import torch

    from models import saved

    encoder = text_vectors.encoder(model.config.encoder)
    with torch.inference_mode():
        return saved.sentences(model, encoder, sentences).numpy()


def _matching(settings: Settings, as_of: dt.date, comparisons: list[filters.Comparison]) -> set[str]:
    clause, parameters = filters.to_duckdb(comparisons)
    con = lake.connect(settings.duckdb_memory)
    con.register("users", index.attributes(settings, as_of))
    return {row[0] for row in con.execute(f"SELECT user_key FROM users WHERE {clause}", parameters).fetchall()}


def _score_all(
    settings: Settings, version: str, as_of: dt.date, query: np.ndarray, top: int, matches: set[str] | None
) -> list[tuple[str, float]]:
    user_keys, vectors, events = users.load(settings, version, as_of)
    wanted = np.flatnonzero(events > 0)
    if matches is not None:
        wanted = wanted[[user_keys[i] in matches for i in wanted]] if len(wanted) else wanted
    scores = vectors[wanted, : len(query)] @ query
    best = np.argsort(-scores, kind="stable")[:top]
    return [(user_keys[wanted[i]], float(scores[i])) for i in best]
