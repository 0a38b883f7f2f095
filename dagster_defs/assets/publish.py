"""Publish: user states, the promotion gate, the index."""

import json

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from dagster_defs.tables import table
from found_platform import index, registry
from found_platform.embedding import users
from found_platform.errors import BadInput
from found_platform.monitoring import figures, vectors
from found_platform.registry import gate
from found_platform.registry.comparison import Comparison, compare


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "user_embeddings", kinds={"pytorch", "deltalake"})
    def user_embeddings(run: AssetRun) -> dg.MaterializeResult:
        """The state of every user as of the cutoff, by the newest model version of this cutoff."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        written = users.embed(settings, registry.load(settings, version), run.cutoff)
        moved = vectors.moved(settings, version, run.cutoff)
        return run.written(
            written,
            users.SCHEMA,
            outcomes={"vectors_are_steady": (moved.state == figures.PASSED, figures.outcome(moved))},
            metadata={"model_version": version, **({} if moved.value is None else {"shift_of_vectors": moved.value})},
        )

    @asset(graph, "promotion", kinds={"mlflow"})
    def promotion(run: AssetRun) -> dg.MaterializeResult:
        """The gate's verdict on this cutoff's version, from past windows; where it passes, the version becomes the champion,
        unless a person has chosen another one since it was made, one of a newer cutoff serves, or the champion does better on the
        same held-out users. A gate that cannot judge does not
        keep the frozen-text model, in which nothing was learned, from serving."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        candidate = gate.Candidate(settings, version, run.cutoff)
        verdict = gate.judge(candidate)
        registry.store_verdict(settings, version, verdict)
        comparison = _comparison(candidate)
        wait = registry.reason_to_wait(settings, version)
        serves = registry.gate_passed(settings, version)
        if serves and wait is None:
            registry.promote(settings, version)
        reason = verdict.reason
        if not verdict.judged:
            end = "the frozen-text model serves" if serves else "no trained model serves without a verdict: `found demo` makes one"
            reason = f"not judged: {reason}; {end}"
        return run.result(
            hashes={str(run.cutoff): json.dumps(verdict.figures, sort_keys=True)},
            outcomes={
                "gate_passes": (serves, reason),
                "holds_against_the_champion": (
                    not (comparison and comparison.worse),
                    comparison.sentence if comparison else "no other champion of this cutoff or an older one serves",
                ),
            },
            metadata={
                "model_version": version,
                "verdict": reason,
                **_waiting(wait, version),
                **verdict.figures,
                **(
                    {name: value for name, value in comparison.figures.items() if name not in verdict.figures} if comparison else {}
                ),
            },
        )

    @asset(graph, "user_index", kinds={"milvus"})
    def user_index(run: AssetRun) -> dg.MaterializeResult:
        """The users of this cutoff in Milvus: built beside the live index, counted, checked, then swapped in."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        if (wait := registry.reason_to_wait(settings, version)) is not None:
            return run.result(hashes={str(run.cutoff): "not published"}, metadata=_waiting(wait, version))
        # of one that did not pass the gate, publishing says so
        if registry.gate_passed(settings, version) and registry.version_of(settings, registry.CHAMPION) != version:
            raise BadInput(
                f"Model version {version} of the cutoff {run.cutoff} has not taken service: materialise promotion of {run.cutoff} "
                "first, in the job `publish` for example; the index that serves stays."
            )
        publication = index.publish(settings, version, run.cutoff)
        return run.result(
            hashes={str(run.cutoff): f"{publication.rows} users"},
            rows=publication.rows,
            metadata={
                "index": publication.name,
                "model_version": version,
                "recall_at_100": publication.recall,
                "recall_with_filters": table(
                    [
                        {"share_of_users": a.share, "filter": a.filter or "none", "recall": a.recall}
                        for a in publication.recall_checks
                    ],
                    {"share_of_users": "float", "filter": "string", "recall": "float"},
                ),
            },
        )

    return [user_embeddings, promotion, user_index]


def _comparison(candidate: gate.Candidate) -> Comparison | None:
    """The stored comparison of a version with the champion; None where that is the version itself, or one of a newer cutoff."""
    settings, version, cutoff = candidate.settings, candidate.version, candidate.cutoff
    champion = registry.version_of(settings, registry.CHAMPION)
    newer = [v.version for v in registry.versions(settings) if v.tags["cutoff"] > str(cutoff)]
    if champion is None or champion == version or champion in newer:
        return None
    comparison = compare(candidate, champion)
    registry.store_comparison(settings, version, comparison)
    return comparison


def _waiting(wait: str | None, version: str) -> dict[str, str]:
    """What a run says of a version that does not take service."""
    return {"not_promoted": f"{wait}: `found promote --version {version}` makes this one serve"} if wait else {}
