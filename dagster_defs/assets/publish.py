"""Publish: user states, the promotion gate, the index."""

import json

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import index, registry
from found_platform.embedding import users
from found_platform.registry import gate


def build(house: House) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("user_embeddings", group="publish", kinds={"pytorch", "deltalake"}, pool="feast")
    def user_embeddings(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The state of every user as of the cutoff, by the newest model version of this cutoff."""
        record = Record(context, house)
        version = registry.of_cutoff(settings, str(record.cutoff))
        written = users.embed(settings, registry.load(settings, version), record.cutoff)
        return record.written(written, users.SCHEMA, metadata={"model_version": version})

    @house.asset("promotion", group="publish", kinds={"mlflow"}, pool="mlflow", checks=["gate_passes"])
    def promotion(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The gate's verdict on this cutoff's version, from past windows; where it passes, the version becomes the champion,
        unless a person has chosen another one since it was made."""
        record = Record(context, house)
        version = registry.of_cutoff(settings, str(record.cutoff))
        verdict = gate.judge(settings, version, record.cutoff)
        registry.store_verdict(settings, version, verdict)
        held = registry.held(settings, version)
        if verdict.passed and not held:
            registry.promote(settings, version)
        return record.result(
            hashes={str(record.cutoff): json.dumps(verdict.figures, sort_keys=True)},
            checks={"gate_passes": (verdict.passed, verdict.reason)},
            metadata={"model_version": version, "verdict": verdict.reason, **_held(held, version), **verdict.figures},
        )

    @house.asset("user_index", group="publish", kinds={"milvus"})
    def user_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The users of this cutoff in Milvus: built beside the live index, counted, audited, then swapped in."""
        record = Record(context, house)
        version = registry.of_cutoff(settings, str(record.cutoff))
        if registry.held(settings, version):
            return record.result(hashes={str(record.cutoff): "not published"}, metadata=_held(True, version))
        made = index.publish(settings, version, record.cutoff)
        return record.result(
            hashes={str(record.cutoff): f"{made.rows} users"},
            rows=made.rows,
            metadata={
                "index": made.name,
                "model_version": version,
                "recall_at_100": {f"{a.share:.3%} of users": a.recall for a in made.audit},
                "filters_audited": {f"{a.share:.3%} of users": a.filter or "none" for a in made.audit},
            },
        )

    return [user_embeddings, promotion, user_index]


def _held(held: bool, version: str) -> dict[str, str]:
    """What a run says of a version that a person has set aside."""
    return {"not_promoted": f"a person chose another champion: `found promote --version {version}` makes it serve"} if held else {}
