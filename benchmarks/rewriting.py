"""How sure the grounded rewriter may be, and how often its phrases are what was meant, on a home of the simulator.

    .venv/bin/python benchmarks/rewriting.py HOME CUTOFF

Prints the separation of demands that the world holds from demands it does not (AUC of the closeness), the share of phrases that
are of the leaf that was meant, milliseconds a demand, and floors to write into `floors.yaml` for this home's text encoder.
"""

import datetime as dt
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression

from found_platform.metrics import auc
from found_platform.rewriting import ground, reading, resemblance, retrieval
from found_platform.settings import Settings
from found_platform.sources.simulator import scenarios, world

DEMANDS = yaml.safe_load((Path(__file__).parent / "rewriting.yaml").read_text())
KEPT = 0.92
"""Of the demands of what is not there, so many should fall below the floor."""


def held() -> list[tuple[str, str, set[str]]]:
    """Kind of wording, demand, leaves meant. The last paraphrase of a scenario names nothing of what it means."""
    sentences = [("own words", demand, {leaf}) for leaf, demand in DEMANDS["held"].items()]
    for spec in scenarios():
        leaves = set(spec["leaves"])
        sentences.append(("scenario", spec["demand"], leaves))
        sentences += [("paraphrase", p, leaves) for p in spec["paraphrases"][:-1]]
        sentences.append(("allusion", spec["paraphrases"][-1], leaves))
    return sentences


def leaf_of(text: str) -> set[str]:
    """The leaves whose products a text names, else those whose shops or brands it names."""
    text, leaves = text.lower(), world().raw["leaves"]
    matches = {leaf for leaf, spec in leaves.items() for names in spec["products"] for name in names if name.lower() in text}
    return matches or {leaf for leaf, spec in leaves.items() for name in spec["brands"] + spec["shops"] if name.lower() in text}


def main(home: Path, cutoff: dt.date) -> None:
    settings = Settings.load(home)
    grounding = ground.of(settings, cutoff)
    real, none = held(), [(kind, demand) for kind, demands in DEMANDS["not held"].items() for demand in demands]
    kinds = np.array([kind for kind, *_ in real] + [kind for kind, _ in none])
    is_present = np.arange(len(kinds)) < len(real)
    meanings = [retrieval.meaning(grounding, reading.read(demand)) for _, demand, *_ in [*real, *none]]
    named = np.array([len(parts) > 0 for _, parts, _ in meanings])
    belongs = np.repeat(is_present, [len(parts) for _, parts, _ in meanings])
    print(f"{is_present.sum()} demands of what is there, {(~is_present).sum()} of what is not")
    some = np.random.default_rng(0).permutation(len(grounding.items))
    for share in (1, 5, 20):  # the same data, and fewer texts of it
        fewer = replace(grounding, vectors=grounding.vectors[some[: len(some) // share]])
        close = np.where(named, resemblance.closeness(fewer, np.stack([whole for whole, *_ in meanings])), 0)
        single = resemblance.closeness(fewer, np.concatenate([parts for _, parts, _ in meanings]))
        fitted = LogisticRegression(C=1e4, class_weight="balanced").fit(close[named, None], is_present[named])
        slope, floor = float(fitted.coef_[0, 0]), float(np.quantile(close[~is_present], KEPT))
        print(f"\n{len(fewer.vectors):,} items: AUC of closeness {auc(close, is_present):.3f}")
        for kind in dict.fromkeys(kinds):
            one = (kinds == kind) | (is_present != is_present[kinds == kind][0])
            print(f"  {kind:>16}: {auc(close[one], is_present[one]):.3f}")
        kept, part = (close[is_present] >= floor).mean(), np.quantile(single[belongs], 0.05)
        middle = -float(fitted.intercept_[0]) / slope
        print(
            f"  floor {floor:.3f} (above it {kept:.0%} of what is there), part {part:.3f}, middle {middle:.3f}, slope {slope:.0f}"
        )

    start, rows = time.perf_counter(), []
    for kind, demand, leaves in real:
        phrases = retrieval.on(grounding, demand, settings.horizon_days).phrases
        rows.append((kind, len(phrases), [bool(leaf_of(p) & leaves) for p in phrases]))
    print(f"\n{1000 * (time.perf_counter() - start) / len(real):.0f} ms a demand; phrases a demand, and share of the leaf meant:")
    for kind in dict.fromkeys(kind for kind, *_ in real):
        mine = [(n, right) for k, n, right in rows if k == kind]
        share = np.mean([np.mean(right) for _, right in mine if right])
        none_of = sum(n == 0 for n, _ in mine)
        print(f"  {kind:>16}: {np.mean([n for n, _ in mine]):.1f}, {share:.2f}; none for {none_of} of {len(mine)}")
    print("\nof what is not there, and answered:")
    for kind, demand in none:
        texts = retrieval.on(grounding, demand, settings.horizon_days)
        if texts.phrases:
            print(f"  {texts.confidence:.2f} {kind}: {demand}: {', '.join(texts.phrases)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), dt.date.fromisoformat(sys.argv[2]))
