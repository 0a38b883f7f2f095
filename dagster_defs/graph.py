"""The asset graph as data: every asset's group, partitions and what it reads; and its partitions in one home.

What belongs here: the table, and keys. What does not: what an asset does (`assets/`), how a run of one is recorded
(`materialization`), what its fingerprint is (`fingerprints`), and Dagster's objects for any of it (`partitions`): a command that
asks what there is loads no Dagster.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from found_platform.contract import SILENCE_GRID
from found_platform.settings import Settings
from found_platform.sources.config import SourceConfig, Span, of_home

DAYS = ("raw_events", "behavior_text", "behavior_sequence", "search_text", "user_tabular")
"""The daily assets that the scan of a source leads to, in an order in which they can run."""

EVERYTHING = -20_000
"""Days back that stand for "all days before"."""

DAILY, CUTOFF, AUDIENCE, NONE = "daily", "cutoff", "audience", "none"

ASKED_BY = "found/asked_by"
"""Tag of a run: the actor who asked for it, who may sit in another process."""

AUDIENCES, CUTOFFS = "audiences", "cutoff"
"""Names of the dynamic partitions: one a saved audience, one a cutoff that somebody has asked for."""

HISTORY = "history"
"""The asset between the days and the cutoffs in Dagster's graph."""


@dataclass(frozen=True)
class Read:
    """A range of upstream days relative to the own key, both ends included; None means the upstream as a whole or the same key."""

    first: int
    last: int


@dataclass(frozen=True)
class Asset:
    """A row of the table. `pool` limits how many runs of such assets work at a time, for their memory or for a library's sake.

    `writes` names what a run writes where that is not a partition of its own: who writes the same takes turns.
    """

    group: str
    partitions: str
    reads: Mapping[str, Read | None] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()  # of `reads`: may be missing
    pool: str | None = None
    writes: str | None = None


TRAINING_FOLDER = "training-{key}"
"""`HOME/training/CUTOFF`: the files of the training set, and a folder for each stage."""

SERVICE = "service"
"""Which model version and which index answer look-ups: aliases and pointer, which move together."""

PROMPTS = "prompts"
"""The registered prompts of every model version."""


def table(settings: Settings) -> dict[str, Asset]:
    """Every asset. The order is one in which they can run."""
    lookback = Read(1 - settings.lookback_days, 0)
    # a TTL of n days reaches the snapshot that is n days old: the one of the day before that
    before = Read(-settings.lookback_days - 1, -1)
    history = Read(-settings.history_days - 1, -1)
    ever = Read(EVERYTHING, -1)
    # a day's rows of the silent rest on those of its grid day
    resting = SILENCE_GRID - 1
    tabular = Read(history.first - resting, history.last)
    histories = {"behavior_sequence": history, "search_text": history, "user_tabular": tabular}
    return {
        "quarantine": Asset("ingest", NONE),
        "raw_events": Asset("ingest", DAILY, {"quarantine": None}),
        "raw_profile": Asset("ingest", NONE, {"quarantine": None}),
        "behavior_text": Asset("features", DAILY, {"raw_events": Read(0, 0)}),
        "behavior_sequence": Asset("features", DAILY, {"raw_events": lookback}),
        "search_text": Asset("features", DAILY, {"raw_events": lookback}),
        # who was seen first when is a question to all earlier days
        "user_tabular": Asset("features", DAILY, {"raw_events": Read(EVERYTHING, 0), "raw_profile": None}),
        "online_features": Asset(
            "features", NONE, {"behavior_sequence": None, "search_text": None, "user_tabular": None}, pool="feast"
        ),
        HISTORY: Asset("features", NONE, dict.fromkeys(DAYS), optional=frozenset(DAYS[1:])),
        "training_set": Asset("training_data", CUTOFF, {**histories, "raw_events": ever}, pool="feast"),
        "text_vectors": Asset("training_data", CUTOFF, {"behavior_text": ever}, pool="text_encoder", writes="text_vectors"),
        "user_text_pairs": Asset(
            "training_data",
            CUTOFF,
            {"training_set": None, "text_vectors": None, "behavior_text": ever, "raw_events": ever},
            writes=TRAINING_FOLDER,
        ),
        "behavior_encoder": Asset(
            "pretrain", CUTOFF, {"user_text_pairs": None, "training_set": None}, pool="training", writes=TRAINING_FOLDER
        ),
        "tabular_encoder": Asset(
            "pretrain", CUTOFF, {"user_text_pairs": None, "training_set": None}, pool="training", writes=TRAINING_FOLDER
        ),
        "found_model": Asset(
            "align",
            CUTOFF,
            {
                "user_text_pairs": None,
                "behavior_encoder": None,
                "tabular_encoder": None,
                # of the gate, which decides between two versions
                "training_set": None,
                "text_vectors": None,
                "behavior_text": ever,
            },
            pool="training",
            writes=TRAINING_FOLDER,
        ),
        "user_embeddings": Asset(
            "publish",
            CUTOFF,
            {"found_model": None, "text_vectors": None, **histories, "raw_events": ever},
            pool="feast",
        ),
        "promotion": Asset(
            "publish",
            CUTOFF,
            {
                "user_embeddings": None,
                "found_model": None,
                "training_set": None,
                "user_text_pairs": None,
                "text_vectors": None,
                "behavior_text": ever,
            },
            pool="mlflow",
            writes=SERVICE,
        ),
        "user_index": Asset(
            "publish",
            CUTOFF,
            {"user_embeddings": None, "promotion": None, "text_vectors": None, "user_tabular": tabular, "raw_events": ever},
            writes=SERVICE,
        ),
        "tuned_prompts": Asset(
            "audience",
            CUTOFF,
            {"user_embeddings": None, "promotion": None, "text_vectors": None, "user_tabular": tabular, "raw_events": ever},
            pool="mlflow",
            writes=PROMPTS,
        ),
        # all that a look-up of what is published asks, whichever cutoff it is of
        "audience_members": Asset(
            "audience",
            AUDIENCE,
            dict.fromkeys(
                ("user_index", "tuned_prompts", "user_embeddings", "text_vectors", "user_tabular", "raw_events", "raw_profile")
            ),
            optional=frozenset({"tuned_prompts"}),
        ),
        "benchmark_results": Asset(
            "benchmark",
            CUTOFF,
            {
                "user_embeddings": None,
                "text_vectors": None,
                "behavior_text": ever,
                "behavior_sequence": before,
                "search_text": before,
                "user_tabular": tabular,  # replay asks past cutoffs
                "raw_events": ever,
            },
            pool="feast",
        ),
        "benchmark_report": Asset("benchmark", CUTOFF, {"benchmark_results": None}),
        # texts that occurred on any day before are known
        "feature_drift": Asset(
            "monitor",
            DAILY,
            {"user_tabular": Read(-28 - resting, 0), "raw_events": Read(-34, 0), "behavior_text": Read(EVERYTHING, 0)},
        ),
    }


@dataclass(frozen=True)
class AssetGraph:
    """The graph of one home."""

    settings: Settings

    @cached_property
    def table(self) -> dict[str, Asset]:
        return table(self.settings)

    @cached_property
    def span(self) -> Span:
        """Every day this home has had, as its last scan left them: an open source ends with the day after its last event, not with
        today. The days of a default simulation before anything has run."""
        if (self.settings.home / "source.yaml").exists():
            source = of_home(self.settings)
            span = source.partition_days or source.span
            assert span is not None
            return span
        return Span(start=SourceConfig.model_validate({"name": "simulated", "simulator": {}}).simulator.start)  # pyright: ignore

    def upstreams(self, asset: str) -> dict[str, Read | None]:
        """What an asset follows from in Dagster's graph. What is of a cutoff reads days, and follows from the history of them: no
        mapping of Dagster's leads from a dynamic partition to the days before it (`docs/adr/0031`). What it reads stays
        what the table says, and fingerprints go by that."""
        row = self.table[asset]
        if row.partitions != CUTOFF:
            return dict(row.reads)
        by_cutoff = {name: read for name, read in row.reads.items() if self.table[name].partitions != DAILY}
        return by_cutoff if len(by_cutoff) == len(row.reads) else {HISTORY: None, **by_cutoff}

    def bounds(self, kind: str) -> tuple[dt.date, dt.date | None]:
        """The first key of a daily asset or of a cutoff, and the day after the last one; None where the days have no end."""
        start, end, day = self.span.start, self.span.end, dt.timedelta(days=1)
        # a cutoff is the day after the last one a model may see: it can be the day after the data's end
        return (start + day, end and end + day) if kind == CUTOFF else (start, end)

    def keys(self, asset: str) -> list[str]:
        """All partition keys that an asset may have, oldest first; of audiences those that are not frozen. A cutoff is a partition
        in Dagster once somebody has asked for it (`cutoffs`)."""
        kind = self.table[asset].partitions
        if kind == AUDIENCE:
            from found_platform.audiences import specification

            return [each.audience for each in specification.moving(self.settings)]
        return [] if kind == NONE else self.days(kind)

    def days(self, kind: str) -> list[str]:
        """The keys of daily assets or of cutoffs. A day is one of them when it is over, as in Dagster."""
        start, end = self.bounds(kind)
        today = dt.datetime.now(dt.UTC).date()
        return [str(start + dt.timedelta(days=n)) for n in range((min(end or today, today) - start).days)]


def ranges(keys: list[str]) -> list[list[str]]:
    """Groups keys into runs of consecutive days."""
    groups: list[list[str]] = []
    for key in keys:
        last = groups[-1][-1] if groups else None
        if last and key and dt.date.fromisoformat(key) - dt.date.fromisoformat(last) == dt.timedelta(days=1):
            groups[-1].append(key)
        else:
            groups.append([key])
    return groups
