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
    """A prompt to make from a demand and some users; by its name alone, a saved one is tuned anew.

    `after` is the version that it was edited from (`made_from`), "" for a new one; None takes the place of whatever there is.
    """

    name: str
    demand: str | None = None
    seeds: Users | None = None
    negatives: Users | None = None
    after: str | None = None


@dataclass(frozen=True)
class PromptPage:
    """What a saved prompt is made from: a demand, and how many users who are wanted and who are not.

    `made_from` changes with every edit.
    """

    name: str
    demand: str
    seeds: int
    negatives: int
    made_from: str


@use_case(Effect.READS)
def show(context: Context, name: str) -> PromptPage:
    """A saved prompt. Raises NotFound where there is none of that name."""
    from found_platform.audiences import prompts

    saved = prompts.specification(context.settings, name)
    return PromptPage(saved.name, saved.demand, len(saved.seeds), len(saved.negatives), saved.digest)


@dataclass(frozen=True)
class TunedPrompt:
    """A prompt. `made_from` is that of `PromptPage`; `unknown` says by file which of its users (counted from 1) have no history.

    `suggested_negatives` are ids of users who are like the seeds, for a person to look at.
    """

    tuned: "Tuned"
    unknown: dict[str, list[int]]
    suggested_negatives: list[str]
    made_from: str

    def as_dict(self) -> dict[str, Any]:
        head = {k: v for k, v in asdict(self.tuned.head).items() if k not in ("query", "bias", "suggested_negatives")}
        about = {k: v for k, v in asdict(self.tuned).items() if k not in ("head", "missing")}
        about["made_from"] = self.made_from
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
        if request.after is not None:
            prompts.check_unchanged(settings, request.name, request.after)
        given = [users for users in (seeds, negatives) if users is not None]
        files = {users: [key for key, _ in keys.read_user_rows(settings, users)] for users in given}
        if demand is not None and seeds is not None:
            made_from = demand, set(files[seeds]), set(files.get(negatives, ())) if negatives else None
            free_texts.check_demand(settings, [request.name, demand], set().union(*files.values()))
        else:
            saved = prompts.specification(settings, request.name)
            made_from = saved.demand, saved.seeds, saved.negatives
        tuned = prompts.tune(settings, request.name, *made_from)
        digest = prompts.specification(settings, request.name).digest
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
    return TunedPrompt(tuned, unknown, suggested, digest)
