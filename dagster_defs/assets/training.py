"""Training data, text vectors and the model of a cutoff."""

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import registry
from found_platform.embedding import frozen, text_vectors
from found_platform.feature_store import training_set as training


def build(house: House) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("training_set", group="training_data", kinds={"feast", "deltalake"}, pool="feast")
    def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """What the feature service knew of every user at several past cutoffs, each at least one horizon before this cutoff."""
        record = Record(context, house)
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

    @house.asset("found_model", group="align", kinds={"pytorch", "mlflow"}, pool="mlflow", checks=["weights_are_sound"])
    def found_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The model of this cutoff, registered in MLflow as `candidate`. Here the frozen-text model: only its centre is fitted."""
        record = Record(context, house)
        version, tags = frozen.fit(settings, record.cutoff)
        loaded = registry.load(settings, version)
        return record.result(
            hashes={str(record.cutoff): loaded.tags["sha256"]},
            checks={"weights_are_sound": frozen.sound(loaded)},
            metadata={"model_version": version, **tags},
        )

    return [training_set, text_vectors_, found_model]
