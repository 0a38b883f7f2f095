"""What an audience would be, before it is saved: its size, some of its members with reasons, and how it lies to the others."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from found_platform.audiences import gates, lookup, membership, sizing, specification, understanding
from found_platform.audiences.answer import Scored
from found_platform.audiences.gates import Step
from found_platform.audiences.specification import Specification
from found_platform.outcomes import document
from found_platform.privacy import audit, keys, vault
from found_platform.rewriting import Rewriting
from found_platform.scoring import evidence
from found_platform.scoring.evidence import Evidence, Typical
from found_platform.scoring.heads import Bin, OperatingPoint
from found_platform.settings import Settings

SAMPLE = 10
BINS = 20


@dataclass(frozen=True)
class Histogram:
    """Scores of everybody who can be chosen: `counts` (B,) between `edges` (B+1,). Members score `threshold` or more."""

    edges: list[float]
    counts: list[int]
    threshold: float | None


@dataclass(frozen=True)
class Sampled:
    """A member, for a person to look at. `rank` counts from 1, the best."""

    user_id: str
    rank: int
    score: float
    probability: float | None
    evidence: list[Evidence]
    expected: float | None = None


@dataclass(frozen=True)
class Overlap:
    """Members that a saved audience of `size` shares with this one; `jaccard` is their share of all members of both."""

    audience: str
    size: int
    shared: int
    jaccard: float


@dataclass(frozen=True)
class Preview:
    """An audience as it would be now. `base` counts users with any history, `eligible` those of them who can be chosen."""

    size: int
    size_because: str
    share_of_base: float
    base: int
    eligible: int
    held_out: int
    mode: str
    reason: str
    rewriting: Rewriting | None
    as_of: str
    model_version: str
    index_version: str
    sample: list[Sampled]
    typical: list[Typical]
    histogram: Histogram
    curve: tuple[OperatingPoint, ...]
    reliability: tuple[Bin, ...]
    overlaps: list[Overlap]
    last_size: int | None
    warning: str | None
    outcome_in_words: str | None = field(default=None, metadata={"key": "asked"})
    outcome: dict[str, Any] | None = None
    gini: float | None = None
    waterfall: tuple[Step, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        rewritten = None if self.rewriting is None else self.rewriting.as_dict()
        content = asdict(replace(self, rewriting=None))
        return {**{f.metadata.get("key", f.name): content[f.name] for f in fields(self)}, "rewriting": rewritten}


def preview(settings: Settings, draft: Specification) -> Preview:
    """Scores everybody for a specification, and saves nothing but a row in the audit."""
    scored = lookup.score(settings, draft.question, membership.excluded(settings, draft))
    cut = sizing.cut(draft, scored)
    chosen = scored.keys[: cut.size]
    before = membership.last(settings, draft.audience)
    without_id = vault.without_id(settings, cut.size - keys.count_known(settings, chosen))
    jump = membership.jump(before.size if before else None, cut.size)
    index_version = scored.published.name.removesuffix(".db")
    held_out = int(membership.held_out(settings, draft.audience, chosen, draft.holdout).sum())
    previewed = Preview(
        size=cut.size,
        size_because=cut.why,
        share_of_base=cut.size / scored.base if scored.base else 0.0,
        base=scored.base,
        eligible=len(scored.rows),
        held_out=held_out,
        mode=scored.mode,
        reason=scored.reason,
        rewriting=scored.rewriting,
        as_of=scored.published.as_of,
        model_version=scored.published.model_version,
        index_version=index_version,
        sample=_sample(settings, scored, cut.size),
        typical=evidence.typical(scored.population, scored.rows[: cut.size]),
        histogram=histogram(scored, cut.size),
        curve=scored.curve,
        reliability=scored.backtest.reliability if scored.backtest else (),
        overlaps=_overlaps(settings, draft.audience, set(chosen)),
        last_size=before.size if before else None,
        warning="; ".join(filter(None, [understanding.warning(scored.rewriting), jump, without_id])) or None,
        outcome_in_words=understanding.outcome_in_words(scored.demand, scored.question, settings),
        outcome=None if scored.demand.outcome is None else document.as_data(scored.demand.outcome),
        gini=scored.backtest.gini if scored.backtest else None,
        waterfall=gates.waterfall(scored, cut.size, held_out),
    )
    audit.record(
        settings,
        "preview",
        audience=None if draft.audience == specification.UNNAMED else draft.audience,
        question=draft.summary(),
        rows=cut.size,
        model_version=previewed.model_version,
        index_version=index_version,
    )
    return previewed


def histogram(scored: Scored, size: int) -> Histogram:
    """The scores of a scoring whose first `size` users are members."""
    if not len(scored.scores):
        return Histogram([0.0, 1.0], [0], None)
    counts, edges = np.histogram(scored.scores, bins=BINS)
    return Histogram(edges.tolist(), counts.tolist(), float(scored.scores[size - 1]) if size else None)


def _sample(settings: Settings, scored: Scored, size: int) -> list[Sampled]:
    """Members at even distances from the best to the last, who would flatter the audience alone. Who has no id is passed over."""
    places = sorted({round(place) for place in np.linspace(0, size - 1, min(SAMPLE, size))})
    sampled = [scored.keys[place] for place in places]
    ids = keys.user_ids(settings, sampled) if sampled else {}
    reasons = lookup.explain(scored, [key for key in sampled if key in ids]) if ids else {}
    chances = scored.probabilities
    return [
        Sampled(
            user_id=ids[scored.keys[place]],
            rank=place + 1,
            score=float(scored.scores[place]),
            probability=None if chances is None else float(chances[place]),
            expected=None if scored.expected is None else float(scored.expected[place]),
            evidence=list(reasons.get(scored.keys[place], ())),
        )
        for place in places
        if scored.keys[place] in ids
    ]


def _overlaps(settings: Settings, audience: str, chosen: set[str]) -> list[Overlap]:
    overlaps = []
    for name in specification.names(settings):
        newest = membership.last(settings, name)
        if name == audience or newest is None:
            continue
        theirs = set(membership.members(settings, newest)["user_key"].to_pylist())
        shared, both = len(chosen & theirs), len(chosen | theirs)
        overlaps.append(Overlap(name, len(theirs), shared, shared / both if both else 0.0))
    return sorted(overlaps, key=lambda overlap: -overlap.jaccard)
