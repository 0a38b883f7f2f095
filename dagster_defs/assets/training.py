"""Training data, the stages of FOUND, and the model of a cutoff."""

import base64
import hashlib
from typing import Any

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import contract, registry
from found_platform.monitoring import curves
from found_platform.registry import gate
from found_platform.training.outcome import Stage
from found_platform.training_data import export, pairs, text_vectors
from found_platform.training_data import training_set as training
from found_platform.training_runs import fit, preflight, stages

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
        written = pairs.build(settings, record.cutoff)
        files = export.write(settings, record.cutoff)
        size = sum(f.stat().st_size for f in files.iterdir())
        return record.written(written, pairs.SCHEMA, metadata={"files": dg.MetadataValue.path(str(files)), "files_bytes": size})

    def train(context: dg.AssetExecutionContext, name: str) -> Stage | None:
        def forward(line: dict[str, Any]) -> None:
            said = line.get("said") or f"{name} {line['step']}/{line['steps']}: {line.get('held_out') or line.get('parts')}"
            context.log.info(said)

        return stages.run(settings, Record(context, house).cutoff, name, forward)

    def shown(stage: Stage) -> dict[str, Any]:
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
            sha256 = stage.sha256 if stage else "none"
            said = shown(stage) if stage else {"why_not": "the source has no profile: there is no table to learn from"}
            return record.result(hashes={str(record.cutoff): sha256[:16]}, metadata=said)

        return pretrained

    @house.asset("found_model", group="align", kinds={"pytorch", "mlflow"}, pool="training", checks=["weights_are_sound"])
    def found_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The model of this cutoff, registered in MLflow as `candidate`: FOUND, aligned with descriptions of the future. The
        frozen-text model is registered beside it, as the version to beat, and takes its place where the gate refuses FOUND."""
        record = Record(context, house)
        align = train(context, "align")
        assert align is not None
        done = [s for s in (stages.finished(settings, record.cutoff, n) for n in ("behavior", "tabular")) if s] + [align]
        frozen = fit.frozen_text(settings, record.cutoff)
        found = fit.found(settings, record.cutoff, done)
        verdict = gate.judge(settings, found, record.cutoff)
        version = fit.choose(settings, record.cutoff, frozen, found, verdict)
        loaded = registry.load(settings, version)
        return record.result(
            hashes={str(record.cutoff): hashlib.sha256(loaded.tags["sha256"].encode()).hexdigest()[:16]},
            checks={"weights_are_sound": fit.sound(loaded)},
            metadata={
                "model_version": version,
                "version_to_beat": frozen,
                "alignment": verdict.reason if verdict.passed else f"{verdict.reason}: the frozen-text model serves this cutoff",
                "card": dg.MetadataValue.md(registry.card(settings, version)),
                **({} if version == found else {"card_of_the_refused": dg.MetadataValue.md(registry.card(settings, found))}),
                **shown(align),
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
