"""The scenarios of a home of world 2: what is asked is in them, of whom and with which probability."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import lake_of

from found_platform import lake
from found_platform.contract import RETURN
from found_platform.evaluation import scenarios, simulated
from found_platform.settings import Settings
from found_platform.sources.simulator import acts

CUTOFF = dt.date(2026, 1, 23)


@pytest.mark.slow
def test_scenarios_of_acts_carry_their_outcome_rank_and_oracle(tmp_path: Path) -> None:
    source = tmp_path / "source.yaml"
    source.write_text(yaml.safe_dump({"name": "simulated", "simulator": {"users": 300, "days": 30, "seed": 50, "world": 2}}))
    settings = lake_of(tmp_path / "home", source)
    events = lake.read(settings.lake, "raw_events").to_pandas()
    back = events[events.status == RETURN]
    assert 0 < len(back) < 0.2 * (events.channel == "pay_bill").sum()
    loaded, why = scenarios.load(settings, CUTOFF)
    assert why == ""
    by_name = {scenario.name: scenario for scenario in loaded}
    assert {"buy_again", "lapse", "often", "spend_more"} <= set(by_name) <= {spec["scenario"] for spec in acts.scenarios()}
    for scenario in loaded:
        assert scenario.outcome is not None
        assert scenario.rank in (None, scenario.outcome.rank)
        assert scenario.oracle is not None
        assert scenario.horizon_days == settings.horizon_days
        assert len(scenario.user_keys) == len(scenario.labels) == len(scenario.oracle)
        assert abs(scenario.labels.mean() - scenario.oracle.mean()) < 4 * np.sqrt(0.25 / len(scenario.labels))
    paid = events[(events.channel == "pay_bill") & (events.status != RETURN) & (events.event_date < CUTOFF)]
    assert set(by_name["buy_again"].user_keys) == set(paid.user_key)
    after = events[(events.channel == "pay_bill") & (events.status != RETURN) & (events.event_date >= CUTOFF)]
    after = set(after[after.event_date < CUTOFF + dt.timedelta(days=settings.horizon_days)].user_key)
    lapse = by_name["lapse"]
    assert [bool(label) for label in lapse.labels] == [user not in after for user in lapse.user_keys]


def test_a_crash_while_the_truth_is_written_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(tmp_path)
    settings.truth.mkdir(parents=True)
    table = pa.table({"user_id": ["a"], "probability": [0.5]})
    write_table = pq.write_table

    def half(*arguments: Any, **options: Any) -> None:
        write_table(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(simulated, "_simulation", lambda _: None)
    monkeypatch.setattr(simulated.simulator, "oracle", lambda *_: table)
    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(KeyboardInterrupt):
        simulated._oracle(settings, CUTOFF)
    assert not any(settings.truth.iterdir())
    monkeypatch.setattr(pq, "write_table", write_table)
    assert simulated._oracle(settings, CUTOFF).equals(table)
    monkeypatch.setattr(simulated.simulator, "oracle", lambda *_: pytest.fail("it is computed once"))
    assert simulated._oracle(settings, CUTOFF).equals(table)
