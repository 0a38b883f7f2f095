"""Tuned prompts: few-shot targeting, kept in step with the model."""

import hashlib
import json

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import registry
from found_platform.audiences import prompts


def build(house: House) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("tuned_prompts", group="audience", kinds={"pytorch", "mlflow"}, pool="mlflow", warnings=["every_prompt_is_tuned"])
    def tuned_prompts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every saved prompt, tuned for this cutoff's version from the demand and the seeds it was made with."""
        record = Record(context, house)
        version = registry.of_cutoff(settings, str(record.cutoff))
        tuned, failed = prompts.retune(settings, version, record.cutoff)
        written = {prompt.name: hashlib.sha256(prompt.head.query.tobytes()).hexdigest()[:16] for prompt in tuned}
        return record.result(
            hashes={str(record.cutoff): json.dumps(written)},
            rows=len(tuned),
            warnings={"every_prompt_is_tuned": (not failed, " ".join(failed.values()) or "none was left out")},
            metadata={
                "model_version": version,
                "heads": dg.MetadataValue.table(
                    [
                        dg.TableRecord({"prompt": p.name, "head": p.head.kind, "left_out_auc": p.head.leave_one_out[p.head.kind]})
                        for p in tuned
                    ],
                    schema=dg.TableSchema.from_name_type_dict({"prompt": "string", "head": "string", "left_out_auc": "float"}),
                ),
            },
        )

    return [tuned_prompts]
