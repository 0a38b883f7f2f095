"""Prints what simple methods reach on simulated populations, as the Markdown tables of docs/simulator.md.

    .venv/bin/python benchmarks/simulator_table.py HOME HOME HOME

Each home has a benchmark (`found demo --seed S`). Figures are the mean over the homes, ± their spread.
"""

import sys
from pathlib import Path

import pandas as pd

from found_platform import lake
from found_platform.evaluation.run import TABLE
from found_platform.settings import Settings

COLUMNS = {
    ("activity_count", "zero_shot"): "activity count",
    ("frozen_text", "zero_shot"): "frozen text, zero-shot",
    ("tfidf_activity", "linear_probe"): "TF-IDF + activity, 1:4",
    ("gbdt_aggregates", "linear_probe"): "GBDT on aggregates, 1:4",
    ("auto", "zero_shot"): "`auto`",
    ("outcome", "zero_shot"): "the outcome as stated",
    ("labelled_ceiling", "most_labels"): "labelled ceiling",
    ("oracle", "zero_shot"): "oracle",
}


def main(homes: list[Path]) -> None:
    frames = [lake.read(Settings.load(home).lake, TABLE).to_pandas().assign(home=home.name) for home in homes]
    rows = pd.concat(frames)
    rows["column"] = [COLUMNS.get(pair) for pair in zip(rows["method"], rows["task"], strict=True)]
    order = list(dict.fromkeys(rows["scenario"]))
    for metric in ("auc", "auc_paraphrases", "auc_hard", "ks", "accuracy", "oracle_share"):
        mine = rows[(rows["metric"] == metric) & rows["column"].notna()]
        by = mine.groupby(["scenario", "column"])["value"].agg(["mean", "std"])
        columns = [c for c in COLUMNS.values() if c in set(mine["column"])]
        print(f"{metric}\n\n| scenario | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
        for scenario in [s for s in order if s != "mean"] + ["mean"]:
            cells = by.reindex([(scenario, column) for column in columns])  # a ceiling needs a past that replay can use
            print(f"| {scenario} | " + " | ".join(f"{mean:.3f} ±{std:.3f}" for mean, std in cells.to_numpy()) + " |")
        print()


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
