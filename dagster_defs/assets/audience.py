"""Saved audiences: their members, a partition each."""

import base64

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from found_platform import lake
from found_platform.audiences import membership, pictures, preview
from found_platform.monitoring import figures, predictions


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "audience_members", kinds={"deltalake"})
    def audience_members(run: AssetRun) -> dg.MaterializeResult:
        """The members of a saved audience, found anew by its newest specification and what is published now; who joined and who
        left since the last time. Earlier memberships are kept."""
        (name,) = run.keys
        outcome = membership.refresh(settings, name)
        refresh = outcome.refresh
        scores = preview.histogram(outcome.scored, refresh.size)
        jumped = membership.jump(outcome.size_before, refresh.size)
        moved = predictions.of_audience(settings, refresh)
        picture = base64.b64encode(pictures.plot(scores, outcome.scored.curve)).decode()
        return run.result(
            hashes={name: membership.rows_hash(settings, refresh)},
            rows=refresh.size if outcome.changed else 0,
            partition_rows={name: refresh.size},
            outcomes={
                "size_is_steady": (jumped is None, jumped or "the size is about that of the last refresh"),
                "predictions_are_steady": (moved.state == figures.PASSED, figures.outcome(moved)),
            },
            metadata={
                "refresh": refresh.refresh,
                "specification_version": refresh.spec_version,
                "size": refresh.size,
                "size_because": refresh.size_because,
                "joins": refresh.joins if outcome.changed else 0,
                "leaves": refresh.leaves if outcome.changed else 0,
                "held_out": refresh.held_out,
                "threshold": "none" if refresh.threshold is None else refresh.threshold,
                **({} if moved.value is None else {"drift_of_predictions": moved.value}),
                "model_version": refresh.model_version,
                "index": refresh.index_version,
                "mode": f"{refresh.mode}: {refresh.reason}",
                "delta_version": lake.version(settings.lake, membership.MEMBERS),
                "scores": dg.MetadataValue.md(f"![scores of the audience](data:image/png;base64,{picture})"),
            },
        )

    return [audience_members]
