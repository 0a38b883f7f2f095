"""Encoding texts beside sentence-transformers, with the same weights, in one run of one process.

    .venv/bin/python benchmarks/texts.py [--small]      (make bench runs it)

Both sides take turns, in another order each round; processor seconds of all threads are compared, and the median counts. The texts
are words of a shop, from one to forty of them. Writes build/bench-texts.json; without sentence-transformers it says so and ends.
"""

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WORDS = (
    "gold",
    "silver",
    "red",
    "small",
    "large",
    "vintage",
    "paper",
    "wooden",
    "ring",
    "necklace",
    "mug",
    "lantern",
    "bread",
    "tea",
)
BATCH = 1024
"""As the profile `cpu` has it; both sides get it, and sort texts by length."""


def shop_texts(count: int) -> list[str]:
    """Distinct texts, most of them short: two to five words, and one in ten of up to forty."""
    rng = np.random.default_rng(0)
    lengths = np.where(rng.random(count) < 0.9, rng.integers(2, 6, count), rng.integers(6, 41, count))
    return [f"{' '.join(rng.choice(WORDS, length))} {i}" for i, length in enumerate(lengths)]


def measure(sides: dict[str, Callable[[list[str]], np.ndarray]], texts: list[str], rounds: int) -> tuple[dict, dict]:
    """Median processor seconds of each side, and its vectors."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    vectors = {name: encode(texts[:64]) for name, encode in sides.items()}  # warm
    names = list(sides)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.process_time()
            vectors[name] = sides[name](texts)
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}, vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few texts, to see that it works")
    small = parser.parse_args().small
    out = Path("build/bench-texts.json")
    out.parent.mkdir(exist_ok=True)
    if importlib.util.find_spec("sentence_transformers") is None:
        print("sentence-transformers is not installed: `pip install sentence-transformers`.")
        out.write_text(json.dumps({"left_out": "sentence-transformers is not installed"}))
        return
    from sentence_transformers import SentenceTransformer

    from models import text_encoder

    whole, rounded = (text_encoder.load_text_encoder(name) for name in ("offline-text", "offline-text:bfloat16"))
    theirs = SentenceTransformer(str(text_encoder._installed_minilm()), device="cpu", local_files_only=True)
    sides = {
        "sentence-transformers": lambda texts: theirs.encode(texts, batch_size=BATCH, normalize_embeddings=True),
        "ours": lambda texts: whole.encode(texts, BATCH),
        "ours, bfloat16": lambda texts: rounded.encode(texts, BATCH),
    }
    texts = shop_texts(300 if small else 2_000)
    seconds, vectors = measure(sides, texts, 1 if small else 3)
    began = time.process_time()
    whole.tokenize(texts)
    words = time.process_time() - began
    reference = vectors["sentence-transformers"]
    closest = {name: float((vectors[name] * reference).sum(1).min()) for name in sides}
    ratios = {
        "texts: ours / sentence-transformers, speed": (seconds["sentence-transformers"] / seconds["ours"], "none"),
        "texts: ours in bfloat16 / sentence-transformers, speed": (
            seconds["sentence-transformers"] / seconds["ours, bfloat16"],
            ">= 1.5",
        ),
        "texts: least cosine of ours with theirs": (closest["ours"], ">= 0.9999"),
        "texts: least cosine of ours in bfloat16 with theirs": (closest["ours, bfloat16"], ">= 0.999"),
        "texts: share of the seconds that splits texts into tokens": (words / seconds["ours"], "none"),
    }
    for name, took in seconds.items():
        print(f"{name:28} {len(texts) / took:8,.0f} texts per CPU-second")
    for name, (value, goal) in ratios.items():
        print(f"{name:64} {value:8.4f}   goal {goal}")
    goals = {name: goal for name, (_, goal) in ratios.items()}
    figures = {
        "texts": len(texts),
        "cpu_seconds": seconds,
        "ratios": {name: value for name, (value, _) in ratios.items()},
        "goals": goals,
    }
    out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
