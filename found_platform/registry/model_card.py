"""Model cards: what a version was made of, how it did on held-out users, and what it cannot do. In Markdown."""

from dataclasses import asdict
from typing import Any

from found_platform.contract import HELD_OUT_FOLD
from found_platform.settings import Settings
from found_platform.training.outcome import Stage

LIMITS = (
    "Scores of the aligned part compare users for one sentence; they are no probabilities, and scores of different sentences or "
    "versions do not compare.",
    "A sentence is understood as far as the text encoder and the texts of this source go: what nobody ever did is not found.",
    "How much a user does is in the activity part, not in the aligned part: for demands about activity, use a head over all parts.",
    "Trained on the users of this home alone. Nothing is known of how it does elsewhere.",
)


def of_frozen_text(about: dict[str, Any], tags: dict[str, str]) -> str:
    """The card of a frozen-text version."""
    return "\n".join(
        [
            f"# Frozen text, cutoff {about['cutoff']}",
            "",
            f"A user is the centred mean of the frozen vectors ({about['encoder']}, revision {about['encoder_revision']}, "
            f"{about['text_dim']} dimensions) of their own events before the cutoff. Nothing is learned but the centre.",
            "",
            "The version that every FOUND version of this cutoff has to beat: how it does on held-out users stands in their cards.",
            "",
            *_made_of(tags),
            "",
            *_limits(LIMITS[:2]),
        ]
    )


def of_found(settings: Settings, about: dict[str, Any], stages: list[Stage], tags: dict[str, str]) -> str:
    """The card of a FOUND version."""
    align = next(s for s in stages if s.name == "align")
    best, start = align.outcome["best"], align.outcome["start"]
    lines = [
        f"# FOUND, cutoff {about['cutoff']}, profile {settings.profile}",
        "",
        "Made of events, profiles and searches before the cutoff; the futures it was aligned with end by the cutoff. "
        f"Users of fold {HELD_OUT_FOLD} took part in no step; the figures are theirs.",
        "",
        "## Held-out retrieval",
        "",
        f"Finding a user's own future among {int(best.get('candidates', 0)):,} (horizon {settings.horizon_days} days):",
        "",
        "| | frozen text, projected | FOUND |",
        "| --- | --- | --- |",
        *(
            f"| {title} | {start.get(f'frozen_{key}', 0):.3f} | {best.get(key, 0):.3f} |"
            for key, title in (
                ("recall_at_10", "recall@10"),
                ("mrr", "mean reciprocal rank"),
                ("auc", "others farther away"),
                ("phrase_auc", "AUC of users for a phrase of a future"),
            )
            if key in best
        ),
        "",
        f"Best step {align.outcome['best_step']} of {align.outcome['step']}"
        + ("." if align.helped else ": **alignment did not help**, so this version is not promoted."),
        "",
        "## Stages",
        "",
        "| stage | rows | users | weights | trained | steps | best step | time, s | held-out loss, start | best |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_stage(s) for s in stages),
        "",
        "## Sizes",
        "",
        *(f"- {name}: {_listed(values)}" for name, values in settings.sizes.model.items()),
        f"- text encoder: {about['encoder']}, revision {about['encoder_revision']}, {about['text_dim']} dimensions",
        f"- texts encoded: {align.outcome['texts']:,} distinct ones, "
        f"{align.outcome['texts'] / max(about['events_before'], 1):.2f} of the {about['events_before']:,} events",
        "",
        *(f"- weights of the losses of {s.name}: {_listed(_losses(settings, s.name))}" for s in stages),
        "",
        *_made_of(tags),
        "",
        *_limits(LIMITS),
    ]
    return "\n".join(lines)


def _listed(values: Any) -> str:
    """Values with their names, as a person writes them."""
    pairs = values.items() if isinstance(values, dict) else [("", values)]
    write = {True: "yes", False: "no"}
    return ", ".join(f"{name.replace('_', ' ')} {write[v] if isinstance(v, bool) else v}".strip() for name, v in pairs)


def _losses(settings: Settings, stage: str) -> dict[str, Any]:
    """The weights that a stage was trained with, also those that the profile says nothing of."""
    from found_platform.training.tasks import AlignLosses, BehaviorLosses
    from models.tabular import TabularConfig

    if stage == "tabular":
        weight = TabularConfig((), **settings.sizes.model["tabular"]).replaced_weight
        return {"masked_value": 1.0, "generator": 1.0, "replaced": weight}
    kinds = {"behavior": BehaviorLosses, "align": AlignLosses}
    return asdict(kinds[stage](**getattr(settings.sizes, stage).losses))


def _made_of(tags: dict[str, str]) -> list[str]:
    return ["## Made of", "", *(f"- {k}: {v}" for k, v in tags.items())]


def _limits(limits: tuple[str, ...]) -> list[str]:
    return ["## Known limits", "", *(f"- {limit}" for limit in limits)]


def _stage(stage: Stage) -> str:
    o = stage.outcome
    loss = ["", ""] if stage.name == "align" else [f"{-o['start']['score']:.3f}", f"{-o['best']['score']:.3f}"]
    cells = [
        stage.name,
        *(f"{o[k]:,}" for k in ("rows", "users", "parameters", "trained_parameters", "step", "best_step")),
        f"{o['seconds']:.0f}",
        *loss,
    ]
    return "| " + " | ".join(cells) + " |"
