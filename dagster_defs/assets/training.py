"""Training data, the stages of FOUND, and the model of a cutoff."""

import base64
import hashlib
from typing import Any

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from found_platform import contract, registry
from found_platform.monitoring import curves
from found_platform.registry import gate
from found_platform.training.outcome import Stage
from found_platform.training_data import export, pairs, text_vectors
from found_platform.training_data import training_set as training
from found_platform.training_runs import fit, preflight, stages

FIGURES = ("parameters", "trained_parameters", "rows", "users", "best_step", "seconds")


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "training_set", kinds={"feast", "deltalake"})
    def training_set(run: AssetRun) -> dg.MaterializeResult:
        """What the feature service knew of every user at several past cutoffs, each at least one horizon before this cutoff."""
        preflight.check(settings, len(contract.profile_schema(settings.home)), run.log.info)
        past = [str(day) for day in training.past_cutoffs(settings, run.cutoff)]
        return run.written(
            training.build(settings, run.cutoff), metadata={"past_cutoffs": ", ".join(past), "number_of_past_cutoffs": len(past)}
        )

    @asset(graph, "text_vectors", kinds={"huggingface", "deltalake"})
    def text_vectors_(run: AssetRun) -> dg.MaterializeResult:
        """The float16 cache of text vectors, with every text seen before the cutoff in it. Only new texts are encoded."""
        written, new = text_vectors.encode(settings, run.cutoff)
        return run.result(
            hashes={str(run.cutoff): text_vectors.cache_hash(settings, run.cutoff)},
            rows=written.rows,
            metadata={
                "newly_encoded": new,
                "encoder": settings.text_encoder,
                "delta_version": written.version,
                "bytes": written.bytes,
                "seconds": written.seconds,
            },
        )

    @asset(graph, "user_text_pairs", kinds={"duckdb", "deltalake"})
    def user_text_pairs(run: AssetRun) -> dg.MaterializeResult:
        """For every row of the training set, a description of what the user did in the window after it; and the files that the
        training processes read."""
        written = pairs.build(settings, run.cutoff)
        files = export.write(settings, run.cutoff)
        size = sum(f.stat().st_size for f in files.iterdir())
        return run.written(written, pairs.SCHEMA, metadata={"files": dg.MetadataValue.path(str(files)), "files_bytes": size})

    def train(run: AssetRun, name: str) -> Stage | str:
        """The trained stage, or why there is none."""

        def forward(line: dict[str, Any]) -> None:
            message = line.get("said") or f"{name} {line['step']}/{line['steps']}: {line.get('held_out') or line.get('parts')}"
            run.log.info(message)

        if (reason := gate.unjudgeable(settings, run.cutoff)) is not None:
            stages.skip(settings, run.cutoff, name, reason)
            return reason
        return stages.run(settings, run.cutoff, name, forward) or "the source has no profile: there is no table to learn from"

    def described(stage: Stage) -> dict[str, Any]:
        picture = base64.b64encode(curves.plot(stage.curves)).decode()
        figures = {k: stage.outcome[k] for k in FIGURES}
        speeds = [v for _, v in stage.curves.get("rows_per_second", [])]
        return {
            **figures,
            **{f"held_out_{name}": value for name, value in stage.outcome["best"].items() if isinstance(value, int | float)},
            "helped": stage.helped,
            "rows_per_second": max(speeds, default=0.0),
            "curves": dg.MetadataValue.md(f"![loss over the steps](data:image/png;base64,{picture})"),
        }

    def encoder(key: str, name: str, description: str) -> dg.AssetsDefinition:
        @asset(graph, key, kinds={"pytorch", "mlflow"}, description=description)
        def pretrained(run: AssetRun) -> dg.MaterializeResult:
            stage = train(run, name)
            sha256 = "none" if isinstance(stage, str) else stage.sha256
            metadata = {"why_not": stage} if isinstance(stage, str) else described(stage)
            return run.result(hashes={str(run.cutoff): sha256[:16]}, metadata=metadata)

        return pretrained

    @asset(graph, "found_model", kinds={"pytorch", "mlflow"})
    def found_model(run: AssetRun) -> dg.MaterializeResult:
        """The model of this cutoff, registered in MLflow as `candidate`: FOUND, aligned with descriptions of the future. The
        frozen-text model is registered beside it, as the version to beat, and takes its place where the gate refuses FOUND, or
        where too few users act for any verdict: then FOUND is not trained."""
        align = train(run, "align")
        frozen = fit.frozen_text(settings, run.cutoff)
        if isinstance(align, str):
            aligned, verdict = None, registry.Verdict(False, align, {}, judged=False)
        else:
            encoders = (stages.finished(settings, run.cutoff, name) for name in ("behavior", "tabular"))
            aligned = fit.found_model(settings, run.cutoff, [*filter(None, encoders), align])
            verdict = gate.judge(gate.Candidate(settings, aligned, run.cutoff))
        version = fit.choose(settings, run.cutoff, frozen, aligned, verdict)
        loaded = registry.load(settings, version)
        refused = {}
        if aligned is not None and aligned != version:
            refused["card_of_the_refused"] = dg.MetadataValue.md(registry.card(settings, aligned))
        return run.result(
            hashes={str(run.cutoff): hashlib.sha256(loaded.tags["sha256"].encode()).hexdigest()[:16]},
            outcomes={"weights_are_sound": fit.sound(loaded)},
            metadata={
                "model_version": version,
                "version_to_beat": frozen,
                "alignment": verdict.reason if verdict.passed else f"{verdict.reason}: the frozen-text model serves this cutoff",
                "card": dg.MetadataValue.md(registry.card(settings, version)),
                **refused,
                **({} if isinstance(align, str) else described(align)),
            },
        )

    return [
        training_set,
        text_vectors_,
        user_text_pairs,
        encoder(
            "behavior_encoder",
            "behavior",
            "Stage 1 of behaviour sequences: windows of events through time, told from those of others (CPC and the cyclic term).",
        ),
        encoder("tabular_encoder", "tabular", "Stage 1 of the profile table: masked values and replaced values."),
        found_model,
    ]
