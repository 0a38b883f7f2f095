"""The ground: what of a lake a demand can be about. Its distinct texts and categories, how often they occur and in which way."""

import datetime as dt
import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from found_platform import feature_store, lake, threads
from found_platform.cache import single_flight
from found_platform.contract import RETURN, midnight, profile_schema
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from found_platform.training_data.templates import templates

if TYPE_CHECKING:
    from models.text_encoder import TextEncoder

MOST_TEXTS = 200_000
MOST_CATEGORIES = 2000
MOST_VALUES = 100
"""Only the most frequent are kept: a rarer one is nearly always a common one in rarer words."""

OWN = 0.3
"""Share of the words of a demand that are enough."""

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
"""What a date as a text begins with."""


def words(text: str) -> list[str]:
    """The words of a text, also of SUCH_ONES and suchOnes, in lower case."""
    parted = re.sub(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])", " ", text)
    return re.findall(r"[^\W_]+", parted.lower())


@dataclass(frozen=True, eq=False)
class Ground:
    """Texts first, then categories: N of them. What was done to users (exposures) is no interest of theirs and is left out."""

    encoder: "TextEncoder"
    items: list[str]
    texts: int  # so many of the items are texts; the rest are categories
    events: np.ndarray  # (N,) int64 before the cutoff
    kinds: dict[str, np.ndarray]  # kind of template with a channel: (N,) int64 events of it
    vectors: np.ndarray  # (N, E) float32, centred; texts of unit length, categories as their name and contents agree
    centre: np.ndarray  # (E,) the mean vector of an event
    payment_methods: list[str]
    statuses: list[str]  # of what users did and kept
    attributes: dict[str, list[str]]  # of the users: the values of each attribute that is a text
    numbers: list[str]  # of the users: the attributes that are numbers
    returns: int  # events that brought something back
    today: dt.date | None = None  # the cutoff, from which a demand's dates are counted
    first: dt.date | None = None  # the day of the first event
    flags: tuple[str, ...] = ()  # of the users: the attributes that are yes or no
    dates: tuple[str, ...] = ()  # of the users: the attributes that are dates, as texts

    @cached_property
    def vocabulary(self) -> dict[str, list[int]]:
        """The words of the items, with the places of the items that hold each."""
        places: dict[str, list[int]] = {}
        for place, item in enumerate(self.items):
            for word in {*words(item), *re.findall(r"[^\W_]+", item.lower())}:  # an iPhone is one word, too
                places.setdefault(word, []).append(place)
        return places

    def has_words_of(self, text: str) -> bool:
        """Whether enough words of a demand are the data's own for it to be read, whatever its language: "insurance buyers"."""
        demand_words = words(text)
        return sum(word in self.vocabulary for word in demand_words) >= OWN * len(demand_words)

    def ask(self, sentences: list[str]) -> np.ndarray:
        """(len(sentences), E) centred unit vectors of what somebody said."""
        with threads.one_for_torch():
            return unit(self.encoder.encode(sentences) - self.centre)


@cache
def template_kinds() -> dict[str, dict[str, str]]:
    """The kinds of sentences, as `templates.yaml` has them, read once."""
    return templates()["kinds"]


def of(settings: Settings, cutoff: dt.date) -> Ground:
    """What was known before 00:00 of the cutoff. Kept in memory: the second call costs nothing until the lake changes.

    Raises BadInput when the text vectors of the cutoff are not there.
    """
    versions = tuple(lake.version(settings.lake, t) for t in ("raw_events", text_vectors.TABLE))
    return _load(settings, cutoff, versions)  # pyright: ignore[reportArgumentType]  (frozen settings have a hash)


@single_flight(2)
def _load(settings: Settings, cutoff: dt.date, _versions: tuple[int, ...]) -> Ground:
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "raw", settings.lake, "raw_events")
    con.execute(
        "CREATE TEMP TABLE known AS SELECT text_id, text, category, payment_method, channel, count(*) AS n FROM raw "
        "WHERE event_date < ? AND arrived_at <= ? AND NOT exposure GROUP BY ALL",
        [cutoff, midnight(cutoff)],
    )
    kinds = {name: kind["channel"] for name, kind in template_kinds().items() if "channel" in kind}
    counts = ", ".join(f"CAST(coalesce(sum(n) FILTER (channel = {lake.literal(c)}), 0) AS BIGINT) AS {k}" for k, c in kinds.items())
    texts = con.execute(
        f"SELECT text_id, min(text) AS item, CAST(sum(n) AS BIGINT) AS events, {counts} FROM known "
        "GROUP BY 1 ORDER BY events DESC, 1 LIMIT ?",
        [MOST_TEXTS],
    ).to_arrow_table()
    categories = con.execute(
        f"SELECT category AS item, CAST(sum(n) AS BIGINT) AS events, {counts} FROM known WHERE category IS NOT NULL "
        "GROUP BY 1 ORDER BY events DESC, 1 LIMIT ?",
        [MOST_CATEGORIES],
    ).to_arrow_table()
    methods = con.execute("SELECT DISTINCT payment_method FROM known WHERE payment_method IS NOT NULL ORDER BY 1").fetchall()

    statuses = con.execute(
        "SELECT status FROM raw WHERE event_date < ? AND arrived_at <= ? AND NOT exposure AND status IS NOT NULL AND status <> ? "
        "GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT ?",
        [cutoff, midnight(cutoff), RETURN, MOST_VALUES],
    ).fetchall()
    returns, first = con.execute(
        f"SELECT count(*) FILTER (status = '{RETURN}'), min(event_date) FROM raw WHERE event_date < ? AND arrived_at <= ?",
        [cutoff, midnight(cutoff)],
    ).fetchall()[0]

    encoder = text_vectors.encoder(settings.text_encoder)
    ids = texts["text_id"].to_numpy()
    cached = text_vectors.load(settings, encoder.revision, ids)
    kept = np.isin(ids, cached.ids)
    if not kept.any():
        raise BadInput(f"No text before {cutoff} has a vector: run `found demo --cutoff {cutoff}` in this home first.")
    vectors = cached.vectors[cached.rows(ids[kept])].astype(np.float32)
    events = texts["events"].to_numpy()[kept]
    centre = (events @ vectors) / events.sum()
    names: list[str] = categories["item"].to_pylist()
    held = con.execute(
        "SELECT text_id, category, CAST(sum(n) AS BIGINT) FROM known WHERE category IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    contents = np.zeros((len(names), vectors.shape[1]), np.float32)
    row, place = {int(i): r for r, i in enumerate(ids[kept])}, {name: r for r, name in enumerate(names)}
    for text_id, category, n in held:
        if text_id in row and category in place:
            contents[place[category]] += n * vectors[row[text_id]]
    contents /= np.maximum(categories["events"].to_numpy(), 1)[:, None]
    # a category is what it is called and what is in it: its cosine is the mean of both, so that a word such as "home" is not enough
    called = (unit(encoder.encode(names) - centre) + unit(contents - centre)) / 2
    schema = profile_schema(settings.home)
    attributes, dates = _attributes(settings, cutoff)
    return Ground(
        encoder=encoder,
        items=[t for t, k in zip(texts["item"].to_pylist(), kept, strict=True) if k] + names,
        texts=int(kept.sum()),
        events=np.concatenate([events, categories["events"].to_numpy()]),
        kinds={k: np.concatenate([texts[k].to_numpy()[kept], categories[k].to_numpy()]) for k in kinds},
        vectors=np.concatenate([unit(vectors - centre), called]),
        centre=centre,
        payment_methods=[m for (m,) in methods],
        statuses=[status for (status,) in statuses],
        attributes=attributes,
        numbers=[f.name for f in schema if not (pa.types.is_string(f.type) or pa.types.is_boolean(f.type))],
        returns=returns,
        today=cutoff,
        first=first,
        flags=tuple(f.name for f in schema if pa.types.is_boolean(f.type)),
        dates=dates,
    )


def _attributes(settings: Settings, cutoff: dt.date) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The values of each attribute that is a text, as it was known at the cutoff, and the names of those that are dates; of names
    and the like there are too many."""
    columns = [f.name for f in profile_schema(settings.home) if pa.types.is_string(f.type)]
    if not columns or not lake.exists(settings.lake, "user_tabular"):
        return {}, ()
    table = feature_store.snapshot(settings, "user_tabular", cutoff - dt.timedelta(days=1), ["user_key", *columns])
    values = {name: sorted(table[name].drop_null().unique().to_pylist()) for name in columns}
    dates = tuple(name for name, distinct in values.items() if distinct and all(map(DATE.match, distinct[:MOST_VALUES])))
    few = {name: distinct for name, distinct in values.items() if 0 < len(distinct) <= MOST_VALUES and name not in dates}
    return few, dates


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 along the last axis, float32; a zero vector stays zero."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)).astype(np.float32)
