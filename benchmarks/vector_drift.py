"""How soon the checks of vectors and predictions tell of each drift of the simulator, by a model that was trained before it.

    .venv/bin/python benchmarks/vector_drift.py HOME [--drifts dead_channel bot_traffic]

HOME is a simulated home with a trained champion, made for this by `found demo --profile tiny --home HOME`, and stays as it is. Of
each drift the last four weeks are simulated again with it, in a copy; the champion embeds users as of a week and four weeks of it,
and as of four weeks before. Scores are the aligned ones of the held-out users whom a sentence finds; chances are what a saved
audience of that sentence says of its members (replay over what was published of either day). Beside the drifts: the same log
without one, and how often two samples of calm users, which are of one law, are told apart. Prints the table of docs/simulator.md.
"""

import argparse
import datetime as dt
import shutil
import tempfile
from pathlib import Path

import numpy as np

from found_platform import index, registry
from found_platform.audiences import lookup
from found_platform.audiences.question import Question
from found_platform.embedding import sentences, users
from found_platform.features import write
from found_platform.monitoring import figures, predictions, vectors
from found_platform.monitoring.figures import Figure
from found_platform.settings import Settings
from found_platform.sources import config, staging
from found_platform.training_data import text_vectors

WEEKS = (1, 4)
DRIFTS = ("new_product_line", "dead_channel", "shifted_population", "broken_units", "changed_prices", "bot_traffic")
FEATURES = ("behavior_text", "behavior_sequence", "search_text", "user_tabular")
SENTENCE = "people who will soon buy gold"
FOUND = 200
"""Users that the sentence finds, as an audience of a tenth would have."""
SPLITS = 1000


def with_drift(home: Path, folder: Path, name: str | None) -> tuple[Settings, dt.date]:
    """A copy of a home whose last four weeks have a drift, and the day after its data."""
    copy = folder / "home"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("monitoring", "training", "locks", "dagster", "index", "simulated"))
    source = config.of_home(Settings.load(copy))
    span, simulator = source.span, source.simulator
    assert span is not None
    assert span.end is not None
    assert simulator is not None
    start = span.end - dt.timedelta(weeks=max(WEEKS))
    if name is None:
        return Settings.load(copy), span.end
    for file in ("source.yaml", "staging"):
        shutil.rmtree(copy / file) if (copy / file).is_dir() else (copy / file).unlink()
    settings = Settings.load(copy)
    drifted = {**simulator.model_dump(mode="json"), "drifts": {name: str(start)}}
    source = config.SourceConfig.model_validate({"name": "simulated", "simulator": drifted})
    staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    write.raw_events(settings, start, span.end)
    for feature in FEATURES:
        write.feature(settings, feature, start, span.end)
    return settings, span.end


def judged(settings: Settings, end: dt.date) -> list[tuple[Figure, ...]]:
    """Vectors, scores and chances after each number of weeks."""
    model = registry.champion(settings)
    version = model.version
    (query,) = sentences.embed_sentences(model.model, [SENTENCE])
    both = []
    for weeks in WEEKS:
        day = end - dt.timedelta(weeks=max(WEEKS) - weeks)
        text_vectors.encode(settings, day)
        users.embed(settings, model, day)
        before = day - dt.timedelta(days=figures.REFERENCE_DAYS)
        scores = [_scores(settings, version, moment, query) for moment in (day, before)]
        users.embed(settings, model, before)
        chances = [_chances(settings, version, moment) for moment in (before, day)]
        movement = vectors.moved(settings, version, day)
        both.append((movement, predictions.distance("scores", *scores), predictions.level("chances", *reversed(chances))))
    return both


def _chances(settings: Settings, version: str, day: dt.date) -> np.ndarray:
    """Of the members of an audience of the sentence, found in what is published of a day."""
    index.publish(settings, version, day)
    scored = lookup.score(settings, Question(sentence=SENTENCE, mode="replay"))
    assert scored.probabilities is not None
    return scored.probabilities[:FOUND]


def _scores(settings: Settings, version: str, day: dt.date, query: np.ndarray) -> np.ndarray:
    """Of the held-out users whom a sentence finds as of a day."""
    _, states, events = users.load(settings, version, day, held_out=True)
    scores = states[events > 0][:, : len(query)] @ query
    return np.sort(scores)[-FOUND:]


def of_one_law(settings: Settings, day: dt.date) -> tuple[int, int]:
    """Alarms among pairs of samples of the same users: of their scores, and of their vectors."""
    model = registry.champion(settings)
    (query,) = sentences.embed_sentences(model.model, [SENTENCE])
    _, states, events = users.load(settings, model.version, day)
    states = states[events > 0]
    scores, rng = states[:, : len(query)] @ query, np.random.default_rng(0)
    of_scores = of_vectors = 0
    for split in range(SPLITS):
        order = rng.permutation(len(states))[: 2 * FOUND]
        of_scores += predictions.distance("scores", scores[order[:FOUND]], scores[order[FOUND:]]).drifted
        if split < SPLITS // 5:  # another person in place of each: as far apart as chance puts two samples of one law
            of_vectors += vectors.shift(states[order[:FOUND]], states[order[FOUND:]]).drifted
    return of_scores, of_vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--drifts", nargs="*", default=list(DRIFTS))
    options = parser.parse_args()
    print("| drift | " + " | ".join(f"{name}, {weeks} w" for weeks in WEEKS for name in ("vectors", "scores", "chances")) + " |")
    print("|" + " --- |" * (1 + 3 * len(WEEKS)))
    for name in (None, *options.drifts):
        with tempfile.TemporaryDirectory() as folder:
            settings, end = with_drift(options.home, Path(folder), name)
            cells = [f"{f.value} of {f.limit}{' **drifted**' if f.drifted else ''}" for both in judged(settings, end) for f in both]
            print(f"| {f'`{name}`' if name else 'none'} | {' | '.join(cells)} |", flush=True)
            if name is None:
                of_scores, of_vectors = of_one_law(settings, end)
                print(f"<!-- one law: scores {of_scores} of {SPLITS}, vectors {of_vectors} of {SPLITS // 5} -->", flush=True)


if __name__ == "__main__":
    main()
