"""Training data, the stages of FOUND, and the model of a cutoff."""

import base64
import hashlib
from typing import Any

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import contract, registry
from found_platform.benchmark import gate
from found_platform.embedding import fit, handover, preflight, stages, text_vectors
from found_platform.feature_store import training_set as training
from found_platform.monitoring import curves
from found_platform.pairs import future

FIGURES = ("parameters", "trained_parameters", "rows", "users", "best_step", "seconds", "best")


def build(house: House) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("training_set", group="training_data", kinds={"feast", "deltalake"}, pool="feast")
    def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """What the feature service knew of every user at several past cutoffs, each at least one horizon before this cutoff."""
        record = Record(context, house)
        preflight.check(settings, len(contract.profile_schema(settings.home)), context.log.info)
        past = [str(day) for day in training.past_cutoffs(settings, record.cutoff)]
        return record.written(training.build(settings, record.cutoff), metadata={"past_cutoffs": past})

    @house.asset("text_vectors", group="training_data", kinds={"huggingface", "deltalake"}, pool="text_encoder")
    def text_vectors_(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The float16 cache of text vectors, with every text seen before the cutoff in it. Only new texts are encoded."""
        record = Record(context, house)
        written, new = text_vectors.encode(settings, record.cutoff)
        return record.result(
            hashes={str(record.cutoff): text_vectors.cache_hash(settings, record.cutoff)},
            rows=written.rows,
            metadata={
                "newly_encoded": new,
                "encoder": settings.text_encoder,
                "delta_version": written.version,
                "bytes": written.bytes,
                "seconds": written.seconds,
            },
        )

    @house.asset("user_text_pairs", group="training_data", kinds={"duckdb", "deltalake"})
    def user_text_pairs(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """For every row of the training set, a description of what the user did in the window after it; and the files that the
        training processes read."""
        record = Record(context, house)
        written = future.build(settings, record.cutoff)
        files = handover.write(settings, record.cutoff)
        size = sum(f.stat().st_size for f in files.iterdir())
        return record.written(written, future.SCHEMA, metadata={"files": dg.MetadataValue.path(str(files)), "files_bytes": size})

    def train(context: dg.AssetExecutionContext, name: str) -> stages.Stage | str:
        """The trained stage, or why there is none."""

        def forward(line: dict[str, Any]) -> None:
            said = line.get("said") or f"{name} {line['step']}/{line['steps']}: {line.get('held_out') or line.get('parts')}"
            context.log.info(said)

        cutoff = Record(context, house).cutoff
        if (why := gate.unjudgeable(settings, cutoff)) is not None:
            stages.skip(settings, cutoff, name, why)
            return why
        return stages.run(settings, cutoff, name, forward) or "the source has no profile: there is no table to learn from"

    def shown(stage: stages.Stage) -> dict[str, Any]:
        picture = base64.b64encode(curves.plot(stage.curves)).decode()
        figures = {k: stage.outcome[k] for k in FIGURES}
        speeds = [v for _, v in stage.curves.get("rows_per_second", [])]
        return {
            **figures,
            "helped": stage.helped,
            "rows_per_second": max(speeds, default=0.0),
            "curves": dg.MetadataValue.md(f"![loss over the steps](data:image/png;base64,{picture})"),
        }

    def encoder(asset: str, name: str, description: str) -> dg.AssetsDefinition:
        @house.asset(asset, group="pretrain", kinds={"pytorch", "mlflow"}, pool="training", description=description)
        def pretrained(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            record = Record(context, house)
            stage = train(context, name)
            sha256 = "none" if isinstance(stage, str) else stage.sha256
            said = {"why_not": stage} if isinstance(stage, str) else shown(stage)
            return record.result(hashes={str(record.cutoff): sha256[:16]}, metadata=said)

        return pretrained

    @house.asset("found_model", group="align", kinds={"pytorch", "mlflow"}, pool="training", checks=["weights_are_sound"])
    def found_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The model of this cutoff, registered in MLflow as `candidate`: FOUND, aligned with descriptions of the future. The
        frozen-text model is registered beside it, as the version to beat, and takes its place where the gate refuses FOUND, or
        where too few users act for any verdict: then FOUND is not trained."""
        record = Record(context, house)
        align = train(context, "align")
        frozen = fit.frozen_text(settings, record.cutoff)
        if isinstance(align, str):
            found, verdict = None, registry.Verdict(False, align, {}, judged=False)
        else:
            done = [s for s in (stages.finished(settings, record.cutoff, n) for n in ("behavior", "tabular")) if s] + [align]
            found = fit.found(settings, record.cutoff, done)
            verdict = gate.judge(settings, found, record.cutoff)
        version = fit.choose(settings, record.cutoff, frozen, found, verdict)
        loaded = registry.load(settings, version)
        refused = {}
        if found is not None and found != version:
            refused["card_of_the_refused"] = dg.MetadataValue.md(registry.card(settings, found))
        return record.result(
            hashes={str(record.cutoff): hashlib.sha256(loaded.tags["sha256"].encode()).hexdigest()[:16]},
            checks={"weights_are_sound": fit.sound(loaded)},
            metadata={
                "model_version": version,
                "version_to_beat": frozen,
                "alignment": verdict.reason if verdict.passed else f"{verdict.reason}: the frozen-text model serves this cutoff",
                "card": dg.MetadataValue.md(registry.card(settings, version)),
                **refused,
                **({} if isinstance(align, str) else shown(align)),
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
