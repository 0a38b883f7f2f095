"""Whether the chances that replay gives come true: on homes whose data go on after the cutoff, by tenths of the users.

    .venv/bin/python benchmarks/chances.py HOME [HOME ...]

Every scenario's demand is rewritten and replayed at the cutoff; what users then did within the window is matched as past windows
are. Scenario labels are not read. Prints for each demand, and on the mean, how far the tenths are off, and what the highest tenth
was told and did.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import argparse
import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from found_platform import lake, registry, rewriting
from found_platform.contract import CHANNELS, parse_day
from found_platform.evaluation import scenarios
from found_platform.scoring import heads, texts
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.replayed import PastTooShort, Replayed
from found_platform.settings import Settings


def happened(population: Population, replayed: Replayed, end: dt.date) -> np.ndarray:
    """(U,) bool: who did something that matches from the cutoff to before `end`, by texts that were known at the cutoff."""
    events = lake.read(population.settings.lake, "raw_events", lake.days_where(population.cutoff, end))
    events = events.filter(pc.invert(events["exposure"]))
    weight = dict(zip(population.past.texts.tolist(), replayed.matching.weights().tolist(), strict=True))
    counts_as_asked = replayed.matching.channels[pc.index_in(events["channel"], pa.array(CHANNELS)).to_numpy()]
    counts_as_asked &= np.abs(events["amount"].fill_null(0).to_numpy()) >= replayed.matching.min_amount
    fits = np.array([weight.get(text, 0.0) for text in events["text_id"].to_pylist()])
    fits *= np.where(counts_as_asked, 1.0, texts.ELSEWHERE)
    did = {key for key, fit in zip(events["user_key"].to_pylist(), fits.tolist(), strict=True) if fit >= 0.5}
    return np.array([key in did for key in population.keys])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", type=Path, nargs="+")
    for path in parser.parse_args().homes:
        settings = Settings.load(path)
        version = registry.version_of(settings, registry.CHAMPION)
        assert version is not None, f"{path}: run `found demo` in it first"
        cutoff = parse_day(registry.load(settings, version).tags["cutoff"], "the cutoff")
        population = Population.stored(settings, version, cutoff)
        tasks, why = scenarios.load(settings, cutoff)
        assert tasks, f"{path}: {why}"
        rewriter = rewriting.grounded(settings, cutoff)
        print(f"{path}, cutoff {cutoff}\n  {'demand':<20}{'off by':>8}{'highest tenth told':>20}{'did':>8}{'all did':>9}")
        rows = []
        for scenario in tasks:
            demand = Demand.of(rewriter.rewrite(scenario.demand))
            try:
                replayed = texts.answer(population, demand.matched(population), scenario.horizon_days)
            except PastTooShort as reason:
                print(f"  {scenario.name:<20} {reason}")
                continue
            with threadpool_limits(1):
                did = happened(population, replayed, cutoff + dt.timedelta(days=replayed.days))
            has_history = population.has_history
            bins = heads.reliability(replayed.probabilities[has_history], did[has_history])
            off = float(np.mean([abs(b.predicted - b.observed) for b in bins]))
            rows.append((off, bins[-1].predicted, bins[-1].observed, float(did[has_history].mean())))
            print("  {:<20}{:>8.3f}{:>20.3f}{:>8.3f}{:>9.3f}".format(scenario.name, *rows[-1]))
        print("  {:<20}{:>8.3f}{:>20.3f}{:>8.3f}{:>9.3f}".format("mean", *np.mean(rows, 0)), flush=True)


if __name__ == "__main__":
    main()
