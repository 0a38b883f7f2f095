"""Asset checks: their names, what each promises, and whether it blocks what is downstream; and results as Dagster takes them.

The asset that writes the data checks it in the same run and reports here; how a check is measured is `found_platform`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class Check:
    """What a check promises. A failed one that blocks fails the run and leaves the partition stale; another one warns."""

    description: str
    blocking: bool = True


CHECKS: dict[str, dict[str, Check]] = {
    "quarantine": {"bad_rows_under_threshold": Check("The share of refused rows is at most `quarantine_threshold`.")},
    "behavior_sequence": {"no_event_after_snapshot": Check("No event of a history lies after the moment of its snapshot.")},
    "user_tabular": {
        "one_row_for_every_user": Check(
            "Every user seen until that day has exactly one row on it, or is silent and has one on its grid day."
        )
    },
    "history": {
        "no_day_is_missing": Check("Every table has each day between its first and its last one.", blocking=False),
    },
    "found_model": {"weights_are_sound": Check("The registered weights load, are finite, and are those that were trained.")},
    "user_embeddings": {
        "vectors_are_steady": Check(
            "Vectors of held-out users lie about where the same model version saw them four weeks before; what could not be judged "
            "does not pass.",
            blocking=False,
        )
    },
    "promotion": {
        "gate_passes": Check("The version predicts the past windows well enough to serve."),
        "holds_against_the_champion": Check(
            "On the same held-out users the version is not worse than the champion, beyond chance; else the champion stays.",
            blocking=False,
        ),
    },
    "tuned_prompts": {"every_prompt_is_tuned": Check("Every saved prompt could be tuned for this version.", blocking=False)},
    "audience_members": {
        "size_is_steady": Check("The audience is about as large as at its last refresh.", blocking=False),
        "predictions_are_steady": Check(
            "Predictions of the members are distributed about as at the last refresh that can be compared; what could not be "
            "judged does not pass.",
            blocking=False,
        ),
    },
    "feature_drift": {"nothing_drifted": Check("Features and traffic are about as they were four weeks before.", blocking=False)},
}


def specs(asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of an asset."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=check.description, blocking=check.blocking)
        for name, check in CHECKS.get(asset, {}).items()
    ]


def results(asset: str, outcomes: Mapping[str, tuple[bool, str]]) -> list[dg.AssetCheckResult]:
    """The results of an asset's checks. `outcomes` maps a name to (passed, why)."""
    severity = {True: dg.AssetCheckSeverity.ERROR, False: dg.AssetCheckSeverity.WARN}
    return [
        dg.AssetCheckResult(check_name=name, passed=passed, metadata={"why": why}, severity=severity[CHECKS[asset][name].blocking])
        for name, (passed, why) in outcomes.items()
    ]


def blocked(asset: str, outcomes: Mapping[str, tuple[bool, str]]) -> bool:
    """Whether a check that blocks has failed."""
    return any(not passed and CHECKS[asset][name].blocking for name, (passed, _) in outcomes.items())
