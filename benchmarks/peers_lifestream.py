"""pytorch-lifestream's CPC and CoLES on a population's events, in a virtual environment of its own.

    .venv-lifestream/bin/python benchmarks/peers_lifestream.py FOLDER cpc|coles SEED       (started by `peers.py`)

Reads FOLDER/events.npz (flat columns, one user after another, and counts) and FOLDER/budget.json; writes FOLDER/NAME-SEED.npy, the
vectors (U, D) of everybody; a user without an event has zeros. Their encoder, losses and samplers as they come, with the sizes of
their documentation's examples where ours has no size to match.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

WIDTH = 64
SLICES, SHORTEST, LONGEST = 5, 5, 64
"""Slices of a user, and their lengths, for CoLES; `models.baselines.coles` has the same."""


def main(folder: Path, name: str, seed: int) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from ptls.data_load.utils import collate_feature_dict

    events, budget = np.load(folder / "events.npz"), json.loads((folder / "budget.json").read_text())
    users = sequences(events)
    learners = [user for user in users if len(user["event_time"]) >= budget["fewest"]]
    torch.manual_seed(seed)
    module, data, collate = MODELS[name](events, learners)
    train(module, data, collate, budget["steps"], budget["batch"], budget["learning_rate"])
    module.eval()
    encoder = module.seq_encoder
    encoder.is_reduce_sequence = True
    vectors = np.zeros((len(users), WIDTH), np.float32)
    rows = [row for row, user in enumerate(users) if len(user["event_time"])]
    with torch.inference_mode():
        for start in range(0, len(rows), 256):
            part = rows[start : start + 256]
            vectors[part] = encoder(collate_feature_dict([users[row] for row in part])).numpy()
    np.save(folder / f"{name}-{seed}.npy", vectors)


def sequences(events) -> list[dict[str, torch.Tensor]]:
    """A user's events as the library reads them: 0 is padding, times are hours."""
    bounds = np.concatenate([[0], np.cumsum(events["counts"])])
    hours = (events["age"].max() - events["age"]) * 24 if len(events["age"]) else events["age"]
    columns = {name: torch.from_numpy(events[name].astype(np.int64) + 1) for name in ("text", "kind", "channel", "amount")}
    columns["event_time"] = torch.from_numpy(hours.astype(np.int64))
    users = [{name: column[a:b] for name, column in columns.items()} for a, b in zip(bounds, bounds[1:])]  # noqa: B905, RUF007
    for user in users:
        time = user["event_time"].float()
        user["gap"] = torch.log1p(torch.diff(time, prepend=time[:1]).clamp(min=0))
    return users


def encoder_of(events):
    """Their recurrent encoder over embeddings of what an event holds."""
    from ptls.nn import RnnSeqEncoder, TrxEncoder

    sizes = {"text": 32, "kind": 16, "channel": 4, "amount": 8}
    embeddings = {name: {"in": int(events[name].max()) + 2, "out": size} for name, size in sizes.items()}
    transactions = TrxEncoder(embeddings=embeddings, numeric_values={"gap": "identity"})
    return RnnSeqEncoder(trx_encoder=transactions, hidden_size=WIDTH, type="gru")


def cpc(events, learners):
    """CPC: six steps ahead, 40 negatives."""
    from ptls.frames.cpc import CpcModule
    from ptls.frames.cpc.datasets.cpc_dataset import CpcDataset

    encoder = encoder_of(events)
    encoder.is_reduce_sequence = False
    module = CpcModule(seq_encoder=encoder, n_negatives=40, n_forward_steps=6, **OPTIMIZER)
    most = max(len(user["event_time"]) for user in learners)
    return module, CpcDataset(learners, min_len=2, max_len=most), CpcDataset.collate_fn


def coles(events, learners):
    """CoLES: the library's own loss, margin and hard negatives."""
    from ptls.frames.coles import ColesDataset, CoLESModule
    from ptls.frames.coles.split_strategy import SampleSlices

    module = CoLESModule(seq_encoder=encoder_of(events), **OPTIMIZER)
    return module, ColesDataset(learners, SampleSlices(SLICES, SHORTEST, LONGEST)), ColesDataset.collate_fn


MODELS = {"cpc": cpc, "coles": coles}
OPTIMIZER = {"optimizer_partial": torch.optim.AdamW, "lr_scheduler_partial": torch.optim.lr_scheduler.ConstantLR}
"""What the modules are made with; training has an optimiser of its own, that of our side."""


def train(module, data, collate, steps: int, batch: int, learning_rate: float) -> None:
    """Their loss, in the plain loop that our side has: AdamW with a cosine, gradients clipped."""
    optimizer = torch.optim.AdamW(module.parameters(), learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    loader = torch.utils.data.DataLoader(data, batch, shuffle=True, collate_fn=collate)
    module.train()
    finished = 0
    while finished < steps:
        for part in loader:
            loss = module._loss(*module.shared_step(*part))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            finished += 1
            if finished == steps:
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
