"""The files that training reads: histories and futures of rows, and nothing of t1 or later on the user side."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_training import MOMENTS, OWN_TEXTS, TEXTS, USERS, align_task, rewrite
from torch import Tensor

from found_platform.training.data import DAY, TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")


def test_histories_of_rows_are_those_of_a_loop(folder: Path) -> None:
    data, rows = TrainingData(folder), load_file(folder / "rows.safetensors")
    chosen = torch.tensor([17, 3, 3, 60])
    histories, used = data.histories(chosen)
    event = search = 0
    for place, row in enumerate(chosen.tolist()):
        for kind, ages in (("event", histories.event_age), ("search", histories.search_age)):
            counts = rows[f"{kind}_counts"]
            count, start = int(counts[row]), int(counts[:row].sum())
            at = event if kind == "event" else search
            own = slice(at, at + count)
            times = rows[f"{kind}_time"][start : start + count]
            assert getattr(histories, f"{kind}_counts")[place] == count
            torch.testing.assert_close(ages[own], ((rows["t1"][row] - times) / DAY).float())
            assert torch.equal(used[getattr(histories, f"{kind}_text")[own]], rows[f"{kind}_text"][start : start + count].long())
            if kind == "event":
                assert torch.equal(histories.event_channel[own], rows["event_channel"][start : start + count].long())
                assert torch.equal(histories.event_amount[own], rows["event_amount"][start : start + count].long())
                assert torch.equal(histories.event_exposed[own], rows["event_exposed"][start : start + count].bool())
                event += count
            else:
                search += count
        assert torch.equal(histories.cells[place], rows["cells"][row])
        assert torch.equal(histories.activity[place], rows["activity"][row])
    assert torch.equal(histories.texts, data.text_vectors[used].float())


def test_the_frozen_vector_of_a_future_is_the_weighted_mean_of_its_items(folder: Path) -> None:
    data, rows = TrainingData(folder), load_file(folder / "rows.safetensors")
    futures = data.futures(torch.tensor([5, 60, 0]))
    for place, row in enumerate([5, 60, 0]):
        start = int(rows["item_counts"][:row].sum())
        items = range(start, start + int(rows["item_counts"][row]))
        weights = [float(rows["item_weight"][i]) for i in items]
        vectors = [data.text_vectors[int(rows["item_text"][i])].double().numpy() for i in items]
        np.testing.assert_allclose(futures[place], np.average(vectors, axis=0, weights=weights), atol=1e-6)


def test_dropout_leaves_events_out_and_keeps_the_rest_in_order(folder: Path) -> None:
    data, rows = TrainingData(folder), torch.arange(USERS * MOMENTS)
    whole, _ = data.histories(rows)
    torch.manual_seed(0)
    thinned, _ = data.histories(rows, drop=0.4)
    assert 0.5 < len(thinned.event_age) / len(whole.event_age) < 0.7
    assert 0.5 < len(thinned.search_age) / len(whole.search_age) < 0.7
    assert int(thinned.event_counts.sum()) == len(thinned.event_age)
    for kind in ("event", "search"):
        before = getattr(whole, f"{kind}_age").split(getattr(whole, f"{kind}_counts").tolist())
        after = getattr(thinned, f"{kind}_age").split(getattr(thinned, f"{kind}_counts").tolist())
        for all_of_them, kept in zip(before, after, strict=True):
            rest = iter(all_of_them.tolist())
            assert all(age in rest for age in kept.tolist())


def test_a_phrase_is_drawn_from_each_rows_future_by_weight(folder: Path) -> None:
    data = TrainingData(folder)
    rows, items = torch.tensor([5, 2, 9]), load_file(folder / "rows.safetensors")
    starts = items["item_counts"].cumsum(0) - items["item_counts"]
    own = [items["item_text"][starts[r] : starts[r] + items["item_counts"][r]].tolist() for r in rows.tolist()]
    weights = torch.rand(TEXTS, generator=torch.Generator().manual_seed(0))
    weights[own[0][0]] = 0
    torch.manual_seed(0)
    drawn = torch.stack([data.phrases(rows, weights) for _ in range(2000)])
    for place, texts in enumerate(own):
        shares = {t: float(sum(weights[u] for u in texts if u == t)) for t in texts}
        for text, share in shares.items():
            assert float((drawn[:, place] == text).float().mean()) == pytest.approx(share / sum(shares.values()), abs=0.05)
        assert set(drawn[:, place].tolist()) <= set(texts)


@pytest.mark.parametrize("kind", ["event", "search"])
@pytest.mark.parametrize("beyond", [0, 3 * DAY])
def test_a_folder_with_an_event_at_t1_or_later_in_a_history_is_refused(
    folder: Path, tmp_path: Path, kind: str, beyond: int
) -> None:
    def late(times: Tensor, rows: dict[str, Tensor]) -> Tensor:
        times[int(rows[f"{kind}_counts"][:8].sum()) - 1] = rows["t1"][7] + beyond
        return times

    counts = load_file(folder / "rows.safetensors")[f"{kind}_counts"]
    assert counts[7] > 0
    moment = "2024-12-31" if beyond == 0 else "2025-01-03"
    with pytest.raises(ValueError, match=rf"row 7 holds the {kind} of {moment} 00:00:00\.0+ UTC .* before 2024-12-31"):
        TrainingData(rewrite(folder, tmp_path / "late", **{f"{kind}_time": late}))


def test_what_happens_from_t1_on_changes_no_users_vector(folder: Path, tmp_path: Path) -> None:
    changed = rewrite(
        folder,
        tmp_path / "changed",
        item_text=lambda items, _: (items + 5) % OWN_TEXTS,
        item_weight=lambda weights, _: weights * 3 + 1,
    )
    one, other, rows = TrainingData(folder), TrainingData(changed), torch.arange(USERS * MOMENTS)
    model = align_task(one).model.eval()
    with torch.no_grad():
        assert torch.equal(model.users(one.histories(rows)[0]), model.users(other.histories(rows)[0]))
    assert not torch.equal(one.futures(rows), other.futures(rows))


def test_a_user_who_was_only_written_to_is_no_row_of_alignment(folder: Path, tmp_path: Path) -> None:
    def all_of_row_3(exposed: Tensor, rows: dict[str, Tensor]) -> Tensor:
        start = int(rows["event_counts"][:3].sum())
        exposed[start : start + int(rows["event_counts"][3])] = 1
        return exposed

    data = TrainingData(
        rewrite(
            folder,
            tmp_path / "written_to",
            event_exposed=all_of_row_3,
            search_counts=lambda c, _: torch.zeros_like(c),
            search_text=lambda t, _: t[:0],
            search_time=lambda t, _: t[:0],
        )
    )
    assert 3 not in data.training_rows(described=True)[:]
    assert 3 in data.training_rows(described=False)[:]
    assert 2 in data.training_rows(described=True)[:]
