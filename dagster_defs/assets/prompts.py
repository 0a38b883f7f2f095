"""Tuned prompts: few-shot targeting, kept in step with the model."""

import hashlib
import json

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from dagster_defs.tables import table
from found_platform import registry
from found_platform.audiences import prompts


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "tuned_prompts", kinds={"pytorch", "mlflow"})
    def tuned_prompts(run: AssetRun) -> dg.MaterializeResult:
        """Every saved prompt, tuned for this cutoff's version from the demand and the seeds it was made with."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        tuned, failed = prompts.retune(settings, version, run.cutoff)
        heads = {prompt.name: hashlib.sha256(prompt.head.query.tobytes()).hexdigest()[:16] for prompt in tuned}
        return run.result(
            hashes={str(run.cutoff): json.dumps(heads)},
            rows=len(tuned),
            outcomes={"every_prompt_is_tuned": (not failed, " ".join(failed.values()) or "none was left out")},
            metadata={
                "model_version": version,
                "heads": table(
                    [{"prompt": p.name, "head": p.head.kind, "left_out_auc": p.head.leave_one_out[p.head.kind]} for p in tuned],
                    {"prompt": "string", "head": "string", "left_out_auc": "float"},
                ),
            },
        )

    return [tuned_prompts]
