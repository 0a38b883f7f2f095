"""The training process: its files, exact accumulation, data-parallel, resume, early stop, and what it may import."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import by_row
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from found_platform.training import loop, machine
from found_platform.training.__main__ import execute, main
from found_platform.training.data import DAY, TrainingData
from found_platform.training.loop import Options, train
from found_platform.training.progress import read_progress
from found_platform.training.tasks import (
    AlignLosses,
    AlignTask,
    BehaviorLosses,
    BehaviorStage,
    BehaviorTask,
    TabularTask,
    retrieval,
    targeting_auc,
)
from models import losses
from models.behavior import BehaviorConfig
from models.found import Found, load, rebuild
from models.tabular import TabularConfig, TabularEncoder
from models.text_tower import TowerConfig

TEXTS, OWN_TEXTS, DIM, TOPICS = 30, 24, 8, 4  # the last texts are those of held-out users alone
USERS, MOMENTS, FOLDS = 40, 2, 5
VALUES = (3, 4)
START = 20_000 * DAY

BEHAVIOR = {"text_dim": DIM, "width": 16, "window_days": 7.0, "windows": 6, "layers": 1, "heads": 2, "dropout": 0.0}
TABULAR = {"values": list(VALUES), "width": 8, "layers": 1, "heads": 2, "dropout": 0.0}
MODEL: dict[str, Any] = {
    "encoder": "random-bert",
    "encoder_revision": "r",
    "text_dim": DIM,
    "dim": 6,
    "activity": 3,
    "behavior": BEHAVIOR,
    "tabular": TABULAR,
    "searches": 3,
    "common": True,
    "width": 16,
    "heads": 2,
    "dropout": 0.0,
}
QWEN = {
    "model_type": "qwen2",
    "vocab_size": 97,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
}
ALBERT = {
    "model_type": "albert",
    "vocab_size": 97,
    "embedding_size": 8,
    "hidden_size": DIM,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
EXACT_BEHAVIOR = BehaviorLosses(cyclic_contrast=0.3, event_dropout=0.0)
EXACT_ALIGN = AlignLosses(cross_modality=0.5, event_dropout=0.0, tune_encoders=True)


def write_data(folder: Path) -> Path:
    """Users with a topic each, at two moments; what they do later is of their topic too."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(TOPICS, DIM))
    vectors = topics[np.arange(TEXTS) % TOPICS] + 0.5 * rng.normal(size=(TEXTS, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat: dict[str, list] = {}
    had: set[tuple[int, int]] = set()

    def add(**values: Any) -> None:
        for name, value in values.items():
            flat.setdefault(name, []).extend(value if isinstance(value, list | np.ndarray) else [value])

    for row in range(USERS * MOMENTS):
        user, moment = divmod(row, MOMENTS)
        held_out, topic = user % FOLDS == 0, user % TOPICS
        t1 = START + (60 + 28 * moment) * DAY
        pool = np.arange(OWN_TEXTS, TEXTS) if held_out else np.arange(topic, OWN_TEXTS, TOPICS)
        events, searches, items = rng.integers(2, 12), rng.integers(0, 5), rng.integers(1, 4)
        texts, searched = rng.choice(pool, events), rng.choice(pool, searches)
        exposed = rng.random(events) < 0.2
        exposed[0] = False
        if not held_out:
            had |= {(user, int(t)) for t in [*texts[~exposed], *searched]}
        add(
            event_text=texts,
            event_time=np.sort(t1 - rng.integers(1, 50 * DAY, events)),
            event_channel=rng.integers(0, 3, events),
            event_amount=rng.integers(0, 32, events),
            event_exposed=exposed,
            event_counts=events,
            search_text=searched,
            search_time=np.sort(t1 - rng.integers(1, 50 * DAY, searches)),
            search_counts=searches,
            item_text=rng.choice(pool, items),
            item_weight=rng.integers(1, 5, items).astype(float),
            item_counts=items,
            owner=user,
            fold=user % FOLDS,
            t1=t1,
        )
    kinds = {"event_exposed": np.uint8, "item_weight": np.float32, "fold": np.int8, "event_text": np.int32, "search_text": np.int32}
    rows = {name: torch.from_numpy(np.array(values).astype(kinds.get(name, np.int64))) for name, values in flat.items()}
    rows["cells"] = torch.from_numpy(np.stack([rng.integers(0, size, USERS * MOMENTS) for size in VALUES], 1))
    rows["activity"] = torch.from_numpy(rng.gamma(1.0, 4.0, (USERS * MOMENTS, 3)).astype(np.float32))
    counts = np.bincount([text for _, text in had], minlength=TEXTS)
    save_file(rows, folder / "rows.safetensors")
    save_file({"vectors": torch.from_numpy(vectors).half(), "counts": torch.from_numpy(counts)}, folder / "texts.safetensors")
    (folder / "data.json").write_text(json.dumps({"encoder": "random-bert", "encoder_revision": "r", "columns": []}))
    (folder / "texts.json").write_text(json.dumps([f"thing {i} of kind {i % TOPICS}" for i in range(TEXTS)]))
    futures = [f"will like kind {row // MOMENTS % TOPICS} number {row % 3}" for row in range(USERS * MOMENTS)]
    (folder / "descriptions.json").write_text(json.dumps(futures))
    return folder


def rewrite(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of the folder with some columns of the rows changed, each by a function of its tensor and all rows."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    rows = load_file(folder / "rows.safetensors")
    save_file({**rows, **{name: change(rows[name].clone(), rows) for name, change in changes.items()}}, target / "rows.safetensors")
    return target


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost these small tensors more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("training") / "data")


def behavior_task(data: TrainingData, losses: BehaviorLosses = EXACT_BEHAVIOR, **changes: Any) -> BehaviorTask:
    torch.manual_seed(0)
    return BehaviorTask(data, BehaviorStage(BehaviorConfig(**{**BEHAVIOR, **changes})), losses)


def tabular_task(data: TrainingData, **changes: Any) -> TabularTask:
    torch.manual_seed(0)
    return TabularTask(data, TabularEncoder(TabularConfig(**{**TABULAR, "values": VALUES, **changes})))


def align_task(data: TrainingData, losses: AlignLosses = EXACT_ALIGN, **changes: Any) -> AlignTask:
    torch.manual_seed(0)
    return AlignTask(data, Found(replace(rebuild(MODEL), **changes)), losses)


def noisy(stage: str, data: TrainingData) -> BehaviorTask | TabularTask | AlignTask:
    """A task in which everything random takes part."""
    if stage == "behavior":
        return behavior_task(data, BehaviorLosses(), dropout=0.2)
    if stage == "tabular":
        return tabular_task(data, dropout=0.2)
    return align_task(data, AlignLosses(tune_encoders=True, phrases=0.5), dropout=0.2)


TASKS = ["behavior", "tabular", "align"]


def configure(
    base: Path,
    data: Path,
    stage: str,
    *,
    options: dict[str, Any] | None = None,
    losses: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    run = {
        "stage": stage,
        "data": str(data),
        "out": stage,
        "model": MODEL,
        "options": {"steps": 3, "batch": 16, "evaluate_every": 2, "log_every": 1, **(options or {})},
        "losses": losses or {},
        **changes,
    }
    base.mkdir(parents=True, exist_ok=True)
    path = base / f"{stage}.json"
    path.write_text(json.dumps(run))
    return path


def last_weights(out: Path) -> dict[str, Tensor]:
    """The weights after the last step, whichever was the best."""
    checkpoint = load_file(out / "checkpoint.safetensors")
    return {name: value for name, value in checkpoint.items() if name.startswith("model.")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- the files


def test_histories_of_rows_are_those_of_a_loop(folder: Path) -> None:
    data, rows = TrainingData(folder), load_file(folder / "rows.safetensors")
    wanted = torch.tensor([17, 3, 3, 60])
    histories, used = data.histories(wanted)
    event = search = 0
    for place, row in enumerate(wanted.tolist()):
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
    assert 3 not in data.training_rows(described=True)
    assert 3 in data.training_rows(described=False)
    assert 2 in data.training_rows(described=True)


# --- what the stages learn


def test_the_parts_of_stage_1_are_the_equations_with_their_weights(folder: Path) -> None:
    data = TrainingData(folder)
    task = behavior_task(data, BehaviorLosses(ahead=2, period=3, cyclic=0.4, cyclic_contrast=0.3, next_window=0.2))
    rows, encoder = task.rows[:16], task.model.eval().encoder
    histories, _ = data.histories(rows)
    context, targets, there = encoder(histories)
    scale = float(task.model.scale.detach().exp())
    acted = encoder.events.acted(histories)
    wanted = {
        "cpc": losses.cpc_loss(context, targets, there, 2, scale),
        "cyclic": 0.4 * losses.cyclic_loss(context, there, 3),
        "cyclic_contrast": 0.3 * losses.cyclic_contrast_loss(context, there, 3, scale),
        "next_window": 0.2 * losses.next_window_loss(encoder.acts_next(context), acted),
    }
    found = loop._floats(task.losses(task.outputs(rows), rows))
    assert found == pytest.approx(loop._floats(wanted), rel=1e-5)
    assert not torch.equal(acted, there)
    alone = behavior_task(data, BehaviorLosses(cyclic=0.0, next_window=0.0))
    assert alone.losses(alone.outputs(rows), rows).keys() == {"cpc"}


def test_the_parts_of_alignment_are_the_equations_with_their_weights(folder: Path) -> None:
    """Rows of one user are no negatives, and what was nearly the same for the frozen encoder is none either."""
    data = TrainingData(folder)
    task = align_task(data, AlignLosses(margin=0.3, anchor=2.0, late=0.4, phrases=0.7, cross_modality=0.5, event_dropout=0.0))
    rows, model = task.rows[:16], task.model
    nn.init.normal_(model.fused.weight, std=0.3)
    assert model.common is not None
    nn.init.normal_(model.common, std=0.3)
    histories, _ = data.histories(rows)
    states, futures, owner = model(histories), data.futures(rows), data.owner[rows]
    sentences, frozen, scale = model.sentences(futures), futures - model.center, float(model.temperature.detach())
    late = model.late_scores(histories, sentences)
    other = (owner[:, None] != owner) | torch.eye(16, dtype=torch.bool)
    terms = []
    for scores, allowed in ((late, other), (late.T, other.T)):
        terms += [-scores[i, i] + scores[i][allowed[i]].exp().sum().log() for i in range(16)]
    both = (histories.event_counts > 0) & (histories.search_counts > 0)
    assert 1 < both.sum() < 16
    starts = nn.functional.normalize(frozen @ model.start.T, dim=1)
    outputs = task.outputs(rows)
    phrases, vectors = outputs[-2], data.text_vectors.float()
    unit = nn.functional.normalize((vectors - model.center) @ model.start.T, dim=1)
    whose, items = data.items(rows)
    futures_of = [items[whose == i].tolist() for i in range(16)]
    will = torch.tensor([[any(float(unit[t] @ unit[p]) > 0.6 for t in future) for p in phrases] for future in futures_of])
    assert will.diagonal().all()
    assert not will.all()
    wanted = {
        "phrases": 0.7 * losses.targeting_loss(scale * states.aligned @ model.sentences(vectors[phrases]).T, will),
        "alignment": losses.alignment_loss(states.aligned, sentences, scale, frozen=frozen, margin=0.3, owner=owner),
        "anchor": 2 * (losses.anchor_loss(sentences, starts) + losses.anchor_loss(states.aligned, states.start)),
        "late": 0.4 * torch.stack(terms).mean(),
        "cross_modality": 0.5
        * losses.alignment_loss(states.shared["behavior"][both], states.shared["search"][both], scale, owner=owner[both]),
    }
    found = loop._floats(task.losses(outputs, rows))
    assert found == pytest.approx(loop._floats(wanted), rel=1e-4, abs=1e-6)
    assert losses.alignment_loss(states.aligned, sentences, scale) > wanted["alignment"]
    alone = align_task(data, AlignLosses(margin=0.0, anchor=0.0, late=0.0))
    assert alone.losses(alone.outputs(rows), rows).keys() == {"alignment"}


@pytest.mark.parametrize("stage", TASKS)
def test_figures_of_held_out_users_hang_on_no_chance(folder: Path, stage: str) -> None:
    task = noisy(stage, TrainingData(folder))
    first = loop._evaluate(task, 0, 1)
    torch.manual_seed(99)
    assert loop._evaluate(task, 0, 1) == first


def test_alignment_starts_where_the_frozen_text_is(folder: Path) -> None:
    figures = loop._evaluate(align_task(TrainingData(folder), AlignLosses(phrases=1.0)), 0, 1)
    assert figures["auc"] == figures["frozen_auc"]
    assert figures["phrase_auc"] == figures["frozen_phrase_auc"] > 0.5
    assert figures["score"] == (figures["auc"] + figures["phrase_auc"]) / 2
    assert figures["candidates"] == USERS / FOLDS * MOMENTS


# --- one gradient, however the batch is cut


def gradient(task: Any, options: Options, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
    parts = loop._step(task, rows, 0, options, 0, 1, "cpu")
    return {name: p.grad.clone() for name, p in task.model.named_parameters() if p.grad is not None}, parts


@pytest.mark.parametrize("stage", ["behavior", "align", "align_with_tower", "align_with_phrases"])
@pytest.mark.parametrize("micro_batch", [4, 5])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(folder: Path, stage: str, micro_batch: int) -> None:
    data = TrainingData(folder)
    if stage == "behavior":
        task: Any = behavior_task(data)
    else:
        tower = TowerConfig(architecture=QWEN) if stage == "align_with_tower" else None
        phrases = 0.5 if stage == "align_with_phrases" else 0.0
        data.phrases = lambda rows, _: data.items(rows)[1][data._rows["item_counts"][rows].cumsum(0) - 1]  # type: ignore[method-assign]
        task = align_task(data, replace(EXACT_ALIGN, phrases=phrases), description_tower=tower)
        nn.init.normal_(task.model.fused.weight, std=0.1)
    rows, options = task.rows[:16], Options(1, 16)
    whole, parts = gradient(task, options, rows)
    cut, parts_cut = gradient(task, replace(options, micro_batch=micro_batch), rows)
    assert parts_cut == pytest.approx(parts, rel=1e-5)
    assert whole.keys() == cut.keys()
    size = max(float(g.abs().max()) for g in whole.values())
    for name, wanted in whole.items():
        torch.testing.assert_close(cut[name], wanted, rtol=1e-4, atol=1e-6 * size, msg=lambda text, name=name: f"{name}: {text}")


def test_a_sum_of_the_parts_losses_would_have_another_gradient(folder: Path) -> None:
    """What exact accumulation is for."""
    task = align_task(TrainingData(folder))
    rows, options = task.rows[:16], Options(1, 16)
    whole, _ = gradient(task, options, rows)
    halves = [gradient(task, options, part)[0] for part in rows.split(8)]
    assert not torch.allclose(whole["user.weight"], (halves[0]["user.weight"] + halves[1]["user.weight"]) / 2, rtol=0.05)


@pytest.mark.parametrize("stage", TASKS)
def test_random_parts_are_the_same_in_both_passes(folder: Path, stage: str) -> None:
    """With dropout and masking on, the gradient of a cut batch is that of its own first pass, so that it leads downhill."""
    task = noisy(stage, TrainingData(folder))
    options = Options(1, 16, micro_batch=4)
    seen: list[Tensor] = []
    before = task.outputs

    def spy(rows: Tensor, asked: loop.Asked | None = None) -> tuple[Tensor, ...]:
        outputs = before(rows, asked)
        seen.append(outputs[0].detach().clone())
        return outputs

    task.outputs = spy  # type: ignore[method-assign]
    gradient(task, options, task.rows[:16])
    assert len(seen) == 8
    for first, again in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first, again)


def distributed(*command: object) -> None:
    """Runs a script or a module in two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def alike(one: Path, two: Path) -> None:
    """Two runs of a stage have the same losses and figures at every step, and the same weights after the last."""
    steps = 0
    for a, b in zip(*(list(read_progress(out / "progress.jsonl")) for out in (one, two)), strict=True):
        for key in ("loss", "gradient_norm"):
            if key in a:
                steps += 1
                assert b[key] == pytest.approx(a[key], rel=1e-4)
        if "held_out" in a:
            assert b["held_out"] == pytest.approx(a["held_out"], rel=1e-3)
    assert steps
    weights, others = last_weights(one), last_weights(two)
    assert weights.keys() == others.keys()
    for name, wanted in weights.items():
        if "generator" in name and one.name == "align":  # in no loss of alignment, so that not even weight decay moves it
            assert torch.equal(others[name], wanted)
        elif not name.endswith("in_proj_bias"):  # the keys' bias has no gradient but rounding, and AdamW makes a step of any
            torch.testing.assert_close(others[name], wanted, rtol=1e-3, atol=3e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("stage", "losses"), [("behavior", EXACT_BEHAVIOR), ("align", EXACT_ALIGN)])
def test_two_processes_train_the_weights_of_one(folder: Path, tmp_path: Path, stage: str, losses: Any) -> None:
    """An odd batch, so that shares differ; encoders tuned, so that some weights are in no loss."""
    options = {"batch": 15, "steps": 4, "learning_rate": 1e-3}
    for name in ("one", "two"):
        configure(tmp_path / name, folder, stage, options=options, losses=vars(losses))
    execute(json.loads((tmp_path / "one" / f"{stage}.json").read_text()), tmp_path / "one")
    command = "align" if stage == "align" else "pretrain"
    distributed("-m", "found_platform.training", command, "--config", tmp_path / "two" / f"{stage}.json")
    alike(tmp_path / "one" / stage, tmp_path / "two" / stage)


def test_two_processes_that_cut_their_shares_train_the_weights_of_one_whole_batch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage, with what is random on: masked cells, events left out, phrases drawn, LoRA's dropout; all in one launch."""
    towers = {"event_tower": {"architecture": ALBERT}, "description_tower": {"architecture": QWEN, "lora_rank": 2}}
    drawn = vars(AlignLosses(phrases=0.5, cross_modality=0.5, tune_encoders=True))
    runs: dict[str, dict[str, Any]] = {
        "behavior": {"losses": vars(BehaviorLosses(cyclic_contrast=0.3))},
        "tabular": {"model": {**MODEL, "tabular": {**TABULAR, "masked": 0.4}}},
        "align": {"losses": drawn},
        "towers": {"losses": drawn, "model": {**MODEL, **towers}},
    }
    shared = {"batch": 15, "steps": 2, "learning_rate": 1e-3}
    for name, run in runs.items():
        for kind, options in (("one", shared), ("two", shared | {"micro_batch": 3})):
            configure(tmp_path / kind / name, folder, "align" if name == "towers" else name, options=options, **run)
    configs = {kind: list((tmp_path / kind).glob("*/*.json")) for kind in ("one", "two")}
    distributed(by_row.__file__, *configs["two"])
    by_row.patch(monkeypatch.setattr)
    for config in configs["one"]:
        execute(json.loads(config.read_text()), config.parent)
        out = config.parent / config.stem
        alike(out, tmp_path / "two" / out.relative_to(tmp_path / "one"))


# --- resume, seeds, early stop


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    options = Options(200, warmup=0.05)
    rates = [loop._rate(step, options) for step in range(201)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[105] == pytest.approx(0.5)
    assert rates[200] == pytest.approx(0)


def test_an_epoch_has_every_row_once_and_the_next_another_order() -> None:
    rows, options = torch.arange(100, 148), Options(9, 16, seed=3)
    first, second = ([loop.batch_of(rows, e * 3 + i, options) for i in range(3)] for e in range(2))
    assert torch.cat(first).sort().values.tolist() == rows.tolist() == torch.cat(second).sort().values.tolist()
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    assert len(loop.batch_of(rows[:5], 7, options)) == 5


@pytest.mark.parametrize("stage", TASKS)
def test_a_killed_run_goes_on_bit_by_bit(folder: Path, tmp_path: Path, stage: str) -> None:
    data, options = TrainingData(folder), Options(8, 16, 8, evaluate_every=2, patience=9, checkpoint_minutes=0.0, log_every=1)
    whole = noisy(stage, data)
    wanted = train(whole, options, tmp_path / "whole")
    killed = noisy(stage, data)
    steps, before = [0], killed.losses

    def dies(outputs: tuple[Tensor, ...], rows: Tensor) -> dict[str, Tensor]:
        steps[0] += killed.model.training
        if steps[0] == 6:
            raise KeyboardInterrupt
        return before(outputs, rows)

    killed.losses = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(killed, options, tmp_path / "killed")
    resumed = noisy(stage, data)
    found = train(resumed, options, tmp_path / "killed")
    assert same(last_weights(tmp_path / "killed"), last_weights(tmp_path / "whole"))
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert same(load_file(tmp_path / "killed" / "best.safetensors"), load_file(tmp_path / "whole" / "best.safetensors"))
    assert {**vars(found), "seconds": 0} == {**vars(wanted), "seconds": 0}
    times = ("seconds", "rows_per_second")
    lines = [
        [{k: v for k, v in line.items() if k not in times} for line in read_progress(tmp_path / name / "progress.jsonl")]
        for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1]


def test_a_run_that_ended_is_not_trained_again(folder: Path, tmp_path: Path) -> None:
    data, options = TrainingData(folder), Options(2, 16)
    train(behavior_task(data), options, tmp_path)
    before, again = last_weights(tmp_path), behavior_task(data)
    train(again, options, tmp_path)
    assert same(last_weights(tmp_path), before)


def test_a_checkpoint_of_other_options_is_refused_and_a_smaller_micro_batch_is_not(folder: Path, tmp_path: Path) -> None:
    data, options = TrainingData(folder), Options(2, 16)
    train(behavior_task(data), options, tmp_path)
    train(behavior_task(data), replace(options, micro_batch=4, patience=9), tmp_path)
    with pytest.raises(loop.CannotResume, match="another folder"):
        train(behavior_task(data), replace(options, steps=3), tmp_path)


def test_a_checkpoint_of_other_losses_or_data_is_no_place_to_go_on_from(folder: Path, tmp_path: Path) -> None:
    configure(tmp_path, folder, "behavior", options={"batch": 16, "steps": 2})
    run = json.loads((tmp_path / "behavior.json").read_text())
    execute(run, tmp_path)
    execute(run, tmp_path)
    with pytest.raises(loop.CannotResume, match="other losses or other data"):
        execute(run | {"losses": {"cyclic": 5.0}}, tmp_path)
    other = shutil.copytree(tmp_path / run["data"], tmp_path / "other")
    about = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps(about | {"note": "made again"}))
    with pytest.raises(loop.CannotResume, match="other losses or other data"):
        execute(run | {"data": "other"}, tmp_path)


@pytest.mark.parametrize("stage", TASKS)
def test_the_same_seed_trains_the_same_weights_and_another_others(folder: Path, tmp_path: Path, stage: str) -> None:
    data = TrainingData(folder)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train(noisy(stage, data), Options(2, 16, seed=seed), tmp_path / name)
    assert same(last_weights(tmp_path / "one"), last_weights(tmp_path / "again"))
    assert not same(last_weights(tmp_path / "one"), last_weights(tmp_path / "other"))


class Scripted:
    """A task that learns something, and whose held-out scores are given."""

    def __init__(self, scores: list[float]):
        torch.manual_seed(0)
        self.model, self.rows, self.scores = nn.Linear(3, 1), torch.arange(8), iter(scores)
        self.weights: list[Tensor] = []

    def asked(self, _: Tensor, /) -> None:
        return None

    def outputs(self, rows: Tensor, _: loop.Asked | None = None, /) -> tuple[Tensor, ...]:
        return (self.model(torch.ones(len(rows), 3) * rows[:, None]),)

    def losses(self, outputs: tuple[Tensor, ...], rows: Tensor) -> dict[str, Tensor]:
        return {"square": (outputs[0] - 1).square().mean()}

    def held_out(self) -> dict[str, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        self.weights.append(self.model.weight.detach().clone())
        return {"score": next(self.scores)}


def test_training_stops_early_and_returns_its_best_step(tmp_path: Path) -> None:
    task = Scripted([0.0, 1.0, 3.0, 2.0, 2.9, 3.0, 99.0])
    progress = train(task, Options(1000, 4, evaluate_every=5, patience=3), tmp_path)
    assert (progress.step, progress.best_step, progress.best) == (25, 10, {"score": 3.0})
    assert torch.equal(task.model.weight, task.weights[2])
    assert torch.equal(load_file(tmp_path / "best.safetensors")["weight"], task.weights[2])
    assert not torch.equal(task.weights[2], task.weights[5])


@pytest.mark.parametrize("later", [-1.0, 0.0, float("nan")])
def test_a_model_that_no_step_made_better_is_as_it_started(tmp_path: Path, later: float) -> None:
    task = Scripted([0.0, *[later] * 4])
    progress = train(task, Options(4, 4, evaluate_every=1), tmp_path)
    assert progress.best_step == 0
    assert progress.best == progress.start == {"score": 0.0}
    assert torch.equal(task.model.weight, task.weights[0])
    assert not torch.equal(task.weights[0], task.weights[-1])


def test_the_last_step_is_looked_at_too(tmp_path: Path) -> None:
    assert train(Scripted([0.0, 1.0]), Options(3, 4, evaluate_every=50), tmp_path).best_step == 3


@pytest.mark.parametrize("stage", TASKS)
def test_training_lowers_its_loss(folder: Path, tmp_path: Path, stage: str) -> None:
    data = TrainingData(folder)
    task = {"behavior": behavior_task, "tabular": tabular_task, "align": align_task}[stage](data)
    train(task, Options(60, 32, learning_rate=3e-3, log_every=1, evaluate_every=60), tmp_path)
    losses = [line["loss"] for line in read_progress(tmp_path / "progress.jsonl") if "loss" in line]
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])


# --- held-out users


@pytest.mark.parametrize("stage", TASKS)
def test_users_of_fold_0_never_enter_a_step(folder: Path, tmp_path: Path, stage: str) -> None:
    data = TrainingData(folder)
    task = noisy(stage, data)
    steps: set[int] = set()
    looks: set[int] = set()

    def spied(before: Callable) -> Callable:
        def spy(rows: Tensor, *more: Any) -> Any:
            (steps if task.model.training else looks).update(rows.tolist())
            return before(rows, *more)

        return spy

    task.outputs, task.asked = spied(task.outputs), spied(task.asked)  # type: ignore[method-assign]
    train(task, Options(12, 16, micro_batch=8, evaluate_every=6), tmp_path)
    assert {int(data.fold[row]) for row in steps} == {1, 2, 3, 4}
    assert {int(data.fold[row]) for row in looks} == {0}
    assert len(steps) == len(task.rows)


@pytest.mark.parametrize("stage", TASKS)
def test_nothing_of_fold_0_reaches_the_weights(folder: Path, tmp_path: Path, stage: str) -> None:
    """Everything known of its users is replaced by what would spoil a sum: the last weights are equal, bit by bit."""

    def held_out(values: Tensor, rows: dict[str, Tensor], kind: str | None, value: float) -> Tensor:
        of = rows["fold"] == 0
        values[of if kind is None else torch.repeat_interleave(of, rows[f"{kind}_counts"])] = value
        return values

    nan = float("nan")
    poisoned = rewrite(
        folder,
        tmp_path / "poisoned",
        activity=lambda v, r: held_out(v, r, None, nan),
        cells=lambda v, r: held_out(v, r, None, 0),
        item_weight=lambda v, r: held_out(v, r, "item", nan),
        event_channel=lambda v, r: held_out(v, r, "event", 0),
        event_amount=lambda v, r: held_out(v, r, "event", 0),
    )
    texts = load_file(folder / "texts.safetensors")
    texts["vectors"][OWN_TEXTS:] = nan
    save_file(texts, poisoned / "texts.safetensors")
    assert not texts["counts"][OWN_TEXTS:].any()
    for name, path in (("clean", folder), ("poisoned", poisoned)):
        train(noisy(stage, TrainingData(path)), Options(4, 16, evaluate_every=2), tmp_path / f"{name}_{stage}")
    clean, other = (last_weights(tmp_path / f"{name}_{stage}") for name in ("clean", "poisoned"))
    assert all(value.isfinite().all() for value in other.values())
    assert same(clean, other)


def test_the_figures_of_held_out_users_are_those_of_a_loop() -> None:
    torch.manual_seed(0)
    users, sentences = (nn.functional.normalize(torch.randn(30, 4), dim=1) for _ in range(2))
    sentences[3] = sentences[8]
    owner = torch.arange(30) // 2
    above, shares = [], []
    for i in range(30):
        others = [j for j in range(30) if owner[j] != owner[i]]
        own = float(users[i] @ sentences[i])
        scores = [float(users[i] @ sentences[j]) for j in others]
        above.append(sum(s > own + 1e-7 for s in scores) + 0.5 * sum(abs(s - own) < 1e-7 for s in scores))
        shares.append(1 - above[-1] / len(others))
    figures = retrieval(users, sentences, owner)
    assert figures["recall_at_10"] == pytest.approx(np.mean([a < 10 for a in above]))
    assert figures["mrr"] == pytest.approx(np.mean([1 / (1 + a) for a in above]))
    assert figures["auc"] == pytest.approx(np.mean(shares))
    assert figures["candidates"] == 30


def test_the_figure_of_phrases_is_that_of_a_loop() -> None:
    torch.manual_seed(0)
    scores, will = torch.randn(12, 4).round(decimals=1), torch.rand(12, 4) < 0.4
    will[:, 3] = True
    figures = []
    for phrase in range(3):
        pairs = [(i, j) for i in range(12) for j in range(12) if will[i, phrase] and not will[j, phrase]]
        column = scores[:, phrase]
        figures.append(np.mean([float(column[i] > column[j]) + 0.5 * float(column[i] == column[j]) for i, j in pairs]))
    assert targeting_auc(scores, will) == pytest.approx(np.mean(figures))


# --- the command


def test_the_command_trains_both_stages_and_leaves_a_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for stage in ("behavior", "tabular"):
        main(["pretrain", "--config", str(configure(tmp_path, folder, stage))])
    initial = {stage: f"{stage}/best.safetensors" for stage in ("behavior", "tabular")}
    main(["align", "--config", str(configure(tmp_path, folder, "align", initial=initial))])
    said = capsys.readouterr().out
    assert "parameters" in said
    assert "MiB before activations" in said
    outcome = json.loads((tmp_path / "align" / "outcome.json").read_text())
    assert outcome["users"] == USERS * (FOLDS - 1) / FOLDS
    assert outcome["rows"] == outcome["users"] * MOMENTS
    assert outcome["texts"] == TEXTS
    assert outcome["step"] == 3
    model, data = load(tmp_path / "align" / "model"), TrainingData(folder)
    assert model.users(data.histories(torch.arange(6))[0]).isfinite().all()
    assert model.behavior is not None
    first = load_file(tmp_path / "behavior" / "best.safetensors")
    for name, value in model.behavior.state_dict().items():  # stage 2 does not move stage 1, unless it is asked to
        assert torch.equal(value, first[f"encoder.{name}"])


def test_a_model_with_both_towers_trains(folder: Path, tmp_path: Path) -> None:
    bert = {"model_type": "bert", "vocab_size": 97, "hidden_size": DIM, "num_hidden_layers": 1, "num_attention_heads": 2}
    towers = {
        "event_tower": {"architecture": {**bert, "intermediate_size": 16}},
        "description_tower": {"architecture": QWEN, "lora_rank": 2},
    }
    config = configure(tmp_path, folder, "align", model={**MODEL, **towers}, options={"micro_batch": 8, "steps": 2})
    main(["align", "--config", str(config)])
    kept = load_file(tmp_path / "align" / "model" / "model.safetensors")
    assert any(name.startswith("event_tower.") for name in kept)
    assert all("lora_" in name for name in kept if name.startswith("description_tower."))
    load(tmp_path / "align" / "model")


def test_progress_is_a_line_a_step_and_one_a_look(folder: Path, tmp_path: Path) -> None:
    execute(json.loads(configure(tmp_path, folder, "align", options={"steps": 5}).read_text()), tmp_path)
    path = tmp_path / "align" / "progress.jsonl"
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines if "held_out" in line] == [0, 2, 4, 5]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5]
    for line in steps:
        assert line["loss"] == pytest.approx(sum(line["parts"].values()))
        assert line["steps"] == 5
        assert line["gradient_norm"] > 0
        assert line["rows_per_second"] > 0
    for line in lines:
        assert line.get("held_out", {"score": 0.0})["score"] >= 0
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert list(read_progress(path)) == lines


def test_it_says_so_when_training_did_not_help(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main(["align", "--config", str(configure(tmp_path, folder, "align", options={"learning_rate": 0.0}))])
    assert "align did not help: no step was better on held-out users than the start" in capsys.readouterr().out
    outcome = json.loads((tmp_path / "align" / "outcome.json").read_text())
    assert outcome["helped"] is False
    assert outcome["best"] == outcome["start"]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "another command's stage": ("align", {"stage": "behavior"}, "trains align"),
    "no options": ("align", {"options": None}, "NoneType"),
    "an unknown option": ("align", {"options": {"stepz": 3}}, "stepz"),
    "a batch of nobody": ("align", {"options": {"steps": 3, "batch": 0}}, "batch is 0: it must be at least 1"),
    "an unknown loss": ("align", {"losses": {"margins": 1}}, "margins"),
    "an unknown size": ("align", {"model": {**MODEL, "widht": 1}}, "widht"),
    "data that are not there": ("align", {"data": "nowhere"}, "nowhere"),
    "vectors of another size": ("align", {"model": {**MODEL, "text_dim": 9}}, "text_dim is 9 in the model and 8 in the data"),
    "another table": (
        "align",
        {"model": {**MODEL, "tabular": {**TABULAR, "values": [3, 3]}}},
        "column 1 of the table holds the code 3",
    ),
    "no such encoder": ("align", {"model": {**MODEL, "behavior": None}, "initial": {"behavior": "x"}}, "x"),
    "no such tower": ("align", {"model": {**MODEL, "description_tower": {"model": "nonsense"}}}, "no text encoder 'nonsense'"),
    "nothing to train": ("pretrain", {"stage": "behavior", "model": {**MODEL, "behavior": None}}, "model.behavior is null"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_config_that_cannot_be_used_says_why(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    command, changes, said = WRONG[name]
    path = configure(tmp_path, folder, "align")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(SystemExit) as stopped:
        main([command, "--config", str(path)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert said in error


def test_a_config_that_is_missing_something_names_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = configure(tmp_path, folder, "align")
    whole = json.loads(path.read_text())
    for key in ("stage", "data", "out", "model", "options"):
        path.write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        with pytest.raises(SystemExit):
            main(["align", "--config", str(path)])
        assert f"'{key}' is missing" in capsys.readouterr().err
    path.write_text("{")
    with pytest.raises(SystemExit):
        main(["align", "--config", str(path)])
    assert str(path) in capsys.readouterr().err


def test_weights_of_another_size_are_no_start(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_file({"encoder.x": torch.ones(1)}, tmp_path / "other.safetensors")
    for initial, said in (({"behavior": "other.safetensors"}, "no behavior encoder of these sizes"), ({"late": "x"}, "x")):
        with pytest.raises(SystemExit):
            main(["align", "--config", str(configure(tmp_path, folder, "align", initial=initial))])
        assert said in capsys.readouterr().err


def test_data_with_nobody_to_train_on_say_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = rewrite(folder, tmp_path / "nobody", fold=lambda fold, _: torch.zeros_like(fold))
    with pytest.raises(SystemExit):
        main(["pretrain", "--config", str(configure(tmp_path, data, "behavior"))])
    assert "nobody to train on: no user outside of fold 0" in capsys.readouterr().err


def test_a_profile_that_does_not_fit_says_so_before_it_starts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available", lambda device: 1000)
    with pytest.raises(machine.DoesNotFit, match=r"This profile needs .* GiB .* cpu has 0\.0 GiB free"):
        machine.check(nn.Linear(1000, 10), Options(1), "cpu")
    with pytest.raises(SystemExit) as stopped:
        main(["pretrain", "--config", str(configure(tmp_path, folder, "behavior"))])
    assert stopped.value.code == 2
    assert "smaller profile" in capsys.readouterr().err
    assert not (tmp_path / "behavior").exists()


def test_needs_count_weights_gradients_moments_and_the_best_copy() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 5, bias=False))
    model[0].requires_grad_(False)
    found = machine.needs(model)
    assert (found.parameters, found.trained) == (150, 50)
    assert found.bytes == 150 * 4 + 50 * 16
    assert machine.available("cpu") > 2**20


ALONE = """
import runpy, sys
BANNED = {"dagster", "feast", "mlflow", "pyarrow", "pandas", "pydantic", "deltalake", "duckdb", "ibis", "sklearn", "typer"}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in BANNED else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for command, config in (argument.split("=", 1) for argument in sys.argv[1:]):
    sys.argv = ["training", command, "--config", config]
    runpy.run_module("found_platform.training", run_name="__main__", alter_sys=True)
ours = {name.split(".")[1] for name in sys.modules if name.startswith("found_platform.")}
assert ours == {"training"}, ours
assert not BANNED & {name.split(".")[0] for name in sys.modules}
print("to the end")
"""


def test_it_runs_where_nothing_of_the_platform_is_installed(folder: Path, tmp_path: Path) -> None:
    """With torch, transformers, peft, numpy and safetensors alone, both stages, a tower with LoRA among them."""
    tower = {"description_tower": {"architecture": QWEN, "lora_rank": 2}}
    initial = {stage: f"{stage}/best.safetensors" for stage in ("behavior", "tabular")}
    runs = [f"pretrain={configure(tmp_path, folder, stage)}" for stage in ("behavior", "tabular")]
    runs.append(f"align={configure(tmp_path, folder, 'align', model={**MODEL, **tower}, initial=initial)}")
    done = subprocess.run([sys.executable, "-c", ALONE, *runs], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("to the end\n")
    assert (tmp_path / "align" / "model" / "config.json").exists()
