"""The jobs that materialise assets, by the names under which a person looks for a run; every asset is in exactly one of them.

What belongs here: which assets a job has, and how long one may run. What does not: jobs that change what serves (`service`), and
when a job runs (`automation`). A run of a single asset is a run of its job with that asset selected, whoever asks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

INGEST, TRAIN, PUBLISH, REFRESH, BENCHMARK, DRIFT = (
    "ingest",
    "train_cutoff",
    "publish",
    "refresh_audiences",
    "run_benchmark",
    "watch_drift",
)

MAX_RUNTIME = "dagster/max_runtime"
"""Tag of a run: seconds after which the daemon stops it, in place of those of `dagster.yaml`."""

RUN_DAYS = 366
"""Days of a run over a range: progress shows after each, and who is killed loses at most one. A run has about a second of its own,
whatever is in its days."""


@dataclass(frozen=True)
class Job:
    """What a job is for, and which assets it has."""

    description: str
    assets: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


JOBS: dict[str, Job] = {
    INGEST: Job(
        "Takes the files of the source up: scans them, and makes the events and features of the days that are chosen.",
        (
            "quarantine",
            "raw_profile",
            "raw_events",
            "behavior_text",
            "behavior_sequence",
            "search_text",
            "user_tabular",
            "online_features",
            "history",
        ),
    ),
    TRAIN: Job(
        "Trains and registers the model of one cutoff. It serves after `publish`.",
        ("training_set", "text_vectors", "user_text_pairs", "behavior_encoder", "tabular_encoder", "found_model"),
        {MAX_RUNTIME: str(7 * 86_400)},  # the profile `paper` trains for days
    ),
    PUBLISH: Job(
        "Embeds the users of one cutoff, judges its model and, where it passes, makes it the champion and publishes the index.",
        ("user_embeddings", "promotion", "user_index", "tuned_prompts"),
    ),
    REFRESH: Job("Finds the members of a saved audience anew.", ("audience_members",)),
    BENCHMARK: Job(
        "Compares every method on the labelled scenarios of one cutoff, and writes the report.",
        ("benchmark_results", "benchmark_report"),
    ),
    DRIFT: Job("Compares the features and the traffic of a day with those of four weeks before.", ("feature_drift",)),
}

JOB_OF = {asset: name for name, job in JOBS.items() for asset in job.assets}
"""By asset: its job."""


def build() -> list[UnresolvedAssetJobDefinition]:
    """The jobs, afresh."""
    return [
        dg.define_asset_job(name, selection=list(job.assets), description=job.description, tags=dict(job.tags))
        for name, job in JOBS.items()
    ]
