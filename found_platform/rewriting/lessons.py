"""What a language model is taught of a lake, in two stages (FOUND, section 4.4.1): what there is, then how demands are said.

Stage 1: conversations about items, the categories they have and what goes together. Stage 2: a demand, made up around what somebody
did in a past window, and the template sentences of that window. Everything is from before the cutoff and from users outside of
fold 0; no user appears in it.
"""

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from found_platform import lake
from found_platform.channels import channels
from found_platform.contract import HELD_OUT_FOLD, OWN_ACT, midnight
from found_platform.rewriting import ground, instructions, retrieval
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.instructions import Message
from found_platform.settings import Settings
from found_platform.training_data.templates import templates

Lesson = list[Message]
"""A conversation; the model learns the assistant's part of it."""

BASKETS = 5000
"""Windows of users that lessons are made of."""
LISTED = 5
ABOUT = 0.5
"""Items as similar as this are about the same thing."""


@dataclass(frozen=True)
class Domain:
    """A lake as lessons see it."""

    ground: Ground
    baskets: list[dict[str, list[str]]]  # what somebody did in a window: items by kind of template, the most frequent first
    category: dict[str, str]  # of an item, where it has one: the most frequent
    together: dict[str, list[str]]  # items of the same windows, the most surprising first
    days: int  # of a window


def domain(settings: Settings, cutoff: dt.date) -> Domain:
    """Reads a lake before 00:00 of the cutoff."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "raw", settings.lake, "raw_events")
    con.execute(
        "CREATE TEMP TABLE known AS SELECT md5(user_key || '-' || w) AS basket, channel, category, text, count(*) AS n, "
        "coalesce(sum(amount), 0) AS spent "
        "FROM (SELECT *, (date_diff('day', event_date, CAST($cutoff AS DATE)) - 1) // $days AS w FROM raw) "
        f"WHERE event_date < $cutoff AND arrived_at <= $known AND {OWN_ACT} AND fold <> $fold GROUP BY ALL",
        {"cutoff": cutoff, "days": settings.horizon_days, "known": midnight(cutoff), "fold": HELD_OUT_FOLD},
    )
    categories = con.execute(
        "SELECT text, category FROM (SELECT text, category, sum(n) AS n FROM known WHERE category IS NOT NULL GROUP BY ALL) "
        "QUALIFY row_number() OVER (PARTITION BY text ORDER BY n DESC, category) = 1"
    ).fetchall()
    rows = con.execute(
        "SELECT basket, channel, list(text ORDER BY n DESC, spent DESC, text) FROM (SELECT basket, channel, text, sum(n) AS n, "
        "sum(spent) AS spent FROM known WHERE basket IN (SELECT DISTINCT basket FROM known ORDER BY basket LIMIT ?) GROUP BY ALL) "
        "GROUP BY ALL ORDER BY ALL",
        [BASKETS],
    ).fetchall()
    kind_of = {kind["channel"]: name for name, kind in ground.template_kinds().items() if "channel" in kind}
    most = templates()["items"]
    baskets: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for basket, channel, texts in rows:
        baskets[basket][kind_of[channel]] = texts[:most]
    lake_items = ground.of(settings, cutoff)
    listed = [baskets[b] for b in sorted(baskets)]
    return Domain(lake_items, listed, dict(categories), _together(listed), settings.horizon_days)


def _together(baskets: list[dict[str, list[str]]]) -> dict[str, list[str]]:
    alone: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for basket in baskets:
        items = sorted({item for basket_items in basket.values() for item in basket_items})
        alone.update(items)
        pairs.update(combinations(items, 2))
    associations: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for (one, other), n in pairs.items():
        if n > 1:
            strength = n / (alone[one] * alone[other]) ** 0.5
            associations[one].append((-strength, other))
            associations[other].append((-strength, one))
    return {item: [other for _, other in sorted(others)[:LISTED]] for item, others in associations.items()}


def about_items(domain: Domain, count: int, seed: int) -> list[Lesson]:
    """Stage 1: conversations of some rounds, each about an item."""
    rng = np.random.default_rng(seed)
    items = domain.ground
    texts = items.items[: items.texts]
    members: dict[str, list[str]] = defaultdict(list)
    for item in texts:  # in order of frequency
        if item in domain.category and len(members[domain.category[item]]) < LISTED:
            members[domain.category[item]].append(item)
    if not texts:
        return []
    share = np.sqrt(items.events[: items.texts])
    existing, words = set(texts), [item.split() for item in texts]
    lessons = []
    for place in rng.choice(len(texts), count, p=share / share.sum()):
        item = texts[place]
        rounds = [
            (
                _one(rng, f"What do people do with “{item}”?", f"How does “{item}” occur in the data?"),
                "; ".join(f"{kind}, {int(items.kinds[kind][place])} times" for kind in items.kinds if items.kinds[kind][place])
                + ".",
            )
        ]
        if category := domain.category.get(item):
            rounds.append((_one(rng, "Which category is it in?", "What category does it have?"), f"{category}."))
            rounds.append((f"What else is in {category}?", ", ".join(i for i in members[category] if i != item) + "."))
        if others := domain.together.get(item):
            rounds.append((_one(rng, "What goes together with it?", "What do the same people do?"), ", ".join(others) + "."))
        one, other = words[int(rng.integers(len(words)))], words[int(rng.integers(len(words)))]
        mixed = " ".join([*one[: len(one) // 2 + 1], *other[len(other) // 2 :]])
        queried, real = (mixed, mixed in existing) if rng.random() < 0.5 else (texts[int(rng.integers(len(texts)))], True)
        rounds.append((f"Is there an item “{queried}”?", "Yes." if real else "No."))
        system = {"role": "system", "content": "You know which items are in the data of this shop."}
        turns = [{"role": role, "content": text} for pair in rounds for role, text in zip(("user", "assistant"), pair, strict=True)]
        lessons.append([system, *turns])
    return lessons


AUDIENCE = ("people who will", "customers who will", "users likely to", "who is going to", "those about to")


def demands(domain: Domain, count: int, seed: int) -> list[Lesson]:
    """Stage 2: a demand, what is near to it in the data, and the sentences of a window that answers it."""
    rng = np.random.default_rng(seed)
    lake_items = domain.ground
    place = {item: i for i, item in enumerate(lake_items.items[: lake_items.texts])}
    verbs = {channel.kind: channel.examples for channel in channels()}
    lessons: list[Lesson] = []
    # a basket may hold nothing but items that are too rare to be known: nothing can be asked about it
    seeds = [{kind: [i for i in named if i in place] for kind, named in basket.items()} for basket in domain.baskets]
    askable = [
        (basket, kinds) for basket, own in zip(domain.baskets, seeds, strict=True) if (kinds := {k: i for k, i in own.items() if i})
    ]
    for _ in range(count if askable else 0):
        basket, kinds_with_seeds = askable[int(rng.integers(len(askable)))]
        asked_kind = str(rng.choice(list(kinds_with_seeds)))
        item = str(rng.choice(kinds_with_seeds[asked_kind]))
        near = lake_items.vectors[: lake_items.texts] @ lake_items.vectors[place[item]]
        category = domain.category.get(item) if rng.random() < 0.5 else None

        def fits(other: str, item: str = item, near: np.ndarray = near, category: str | None = category) -> bool:
            same = category is not None and domain.category.get(other) == category
            return other == item or same or (other in place and near[place[other]] >= ABOUT)

        kinds = list(basket) if rng.random() < 0.3 else [asked_kind]
        answer_items = {kind: [i for i in basket[kind] if fits(i)][: retrieval.MOST_PHRASES] for kind in kinds}
        days = int(rng.choice([7, 14, 30, 90])) if rng.random() < 0.5 else domain.days
        when = "" if days == domain.days else f" in the next {days} days"
        verb = rng.choice(verbs[asked_kind]) if kinds == [asked_kind] else "be interested in"
        demand = f"{rng.choice(AUDIENCE)} {verb} {category or item}{when}"
        examples = [lake_items.items[i] for i in np.argsort(-near, kind="stable")[: instructions.EXAMPLES // 2]]
        others = [i for i in basket[asked_kind] if not fits(i)]
        if others and rng.random() < 0.2:
            examples.insert(0, str(rng.choice(others)))
            demand += f" but not {examples[0]}"
        examples = [*dict.fromkeys([*(i for kind_items in answer_items.values() for i in kind_items), *examples])]
        rng.shuffle(examples)
        answer = " ".join(retrieval.sentences(answer_items, days))
        lessons.append([*instructions.rewriting(demand, examples, days), {"role": "assistant", "content": answer}])
    return lessons


def _one(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]
