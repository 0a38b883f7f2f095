"""Publish: user states, the promotion gate, the index."""

import json

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from found_platform import index, registry
from found_platform.embedding import users
from found_platform.registry import gate


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "user_embeddings", kinds={"pytorch", "deltalake"})
    def user_embeddings(run: AssetRun) -> dg.MaterializeResult:
        """The state of every user as of the cutoff, by the newest model version of this cutoff."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        written = users.embed(settings, registry.load(settings, version), run.cutoff)
        return run.written(written, users.SCHEMA, metadata={"model_version": version})

    @asset(graph, "promotion", kinds={"mlflow"})
    def promotion(run: AssetRun) -> dg.MaterializeResult:
        """The gate's verdict on this cutoff's version, from past windows; where it passes, the version becomes the champion,
        unless a person has chosen another one since it was publication."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        verdict = gate.judge(settings, version, run.cutoff)
        registry.store_verdict(settings, version, verdict)
        held = registry.held(settings, version)
        if verdict.passed and not held:
            registry.promote(settings, version)
        return run.result(
            hashes={str(run.cutoff): json.dumps(verdict.figures, sort_keys=True)},
            outcomes={"gate_passes": (verdict.passed, verdict.reason)},
            metadata={"model_version": version, "verdict": verdict.reason, **_held(held, version), **verdict.figures},
        )

    @asset(graph, "user_index", kinds={"milvus"})
    def user_index(run: AssetRun) -> dg.MaterializeResult:
        """The users of this cutoff in Milvus: built beside the live index, counted, audited, then swapped in."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        if registry.held(settings, version):
            return run.result(hashes={str(run.cutoff): "not published"}, metadata=_held(True, version))
        publication = index.publish(settings, version, run.cutoff)
        return run.result(
            hashes={str(run.cutoff): f"{publication.rows} users"},
            rows=publication.rows,
            metadata={
                "index": publication.name,
                "model_version": version,
                "recall_at_100": {f"{a.share:.3%} of users": a.recall for a in publication.audit},
                "filters_audited": {f"{a.share:.3%} of users": a.filter or "none" for a in publication.audit},
            },
        )

    return [user_embeddings, promotion, user_index]


def _held(held: bool, version: str) -> dict[str, str]:
    """What a run says of a version that a person has set aside."""
    return {"not_promoted": f"a person chose another champion: `found promote --version {version}` makes it serve"} if held else {}
