"""Tuned prompts: a demand and a handful of users become a named query."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.errors import BadInput
from found_platform.privacy.keys import Users

if TYPE_CHECKING:
    from found_platform.audiences.prompts import Tuned


@dataclass(frozen=True)
class Tune:
    """A prompt to make from a demand and some users; by its name alone, a saved one is tuned anew."""

    name: str
    demand: str | None = None
    seeds: Users | None = None
    negatives: Users | None = None


@dataclass(frozen=True)
class TunedPrompt:
    """A prompt. `unknown` says by file which of its users (counted from 1) have no history here; `suggested_negatives` are ids of
    users who are like the seeds, for a person to look at."""

    tuned: "Tuned"
    unknown: dict[str, list[int]]
    suggested_negatives: list[str]

    def as_dict(self) -> dict[str, Any]:
        head = {k: v for k, v in asdict(self.tuned.head).items() if k not in ("query", "bias", "suggested_negatives")}
        about = {k: v for k, v in asdict(self.tuned).items() if k not in ("head", "missing")}
        return {**about, **head, "unknown": self.unknown, "suggested_negatives": self.suggested_negatives}


@use_case(Effect.CHANGES, "tune")
def tune(context: Context, request: Tune) -> TunedPrompt:
    """Tunes a prompt on what is published. Raises BadInput for what cannot be used; what was before stays.

    It is no run, since a run's configuration would name users for good (ADR 25), but it waits for runs and they for it.
    """
    from dagster_defs import locks
    from dagster_defs.graph import PROMPTS
    from found_platform.audiences import prompts
    from found_platform.privacy import audit, free_texts, keys

    settings, demand, seeds, negatives = context.settings, request.demand, request.seeds, request.negatives
    if (demand is None) != (seeds is None):
        raise BadInput("Give --demand and --seeds together; a prompt that is saved is tuned anew without either.")
    if demand is None and negatives is not None:
        raise BadInput("--negatives come with --demand and --seeds.")
    with locks.hold(settings, [f"run-{PROMPTS}"]):
        given = [users for users in (seeds, negatives) if users is not None]
        files = {users: [key for key, _ in keys.read_user_rows(settings, users)] for users in given}
        if demand is not None and seeds is not None:
            made_from = demand, set(files[seeds]), set(files.get(negatives, ())) if negatives else None
            free_texts.check_demand(settings, [request.name, demand], set().union(*files.values()))
        else:
            saved = prompts.specification(settings, request.name)
            made_from = saved.demand, saved.seeds, saved.negatives
        tuned = prompts.tune(settings, request.name, *made_from)
    names = keys.user_ids(settings, tuned.head.suggested_negatives)
    suggested = [context.display_name(names[key]) for key in tuned.head.suggested_negatives if key in names]
    audit.record(
        settings,
        "tune",
        question={"prompt": request.name, "sentence": tuned.demand},
        rows=len(suggested),
        model_version=tuned.model_version,
        reason=f"{tuned.seeds} seeds, {tuned.negatives} negatives; rows are users who were shown",
    )
    labels: dict[Users, str] = {u: "seeds" if u == seeds else "negatives" for u in files if isinstance(u, tuple)}
    missing = {users: [i for i, key in enumerate(read, 1) if key in tuned.missing] for users, read in files.items()}
    unknown = {labels.get(users, str(users)): rows for users, rows in missing.items()}
    return TunedPrompt(tuned, unknown, suggested)
