"""pytorch-lifestream's CPC on the sequences of `training.py`, in a virtual environment of its own.

    .venv-lifestream/bin/python benchmarks/lifestream.py FOLDER       (started by `training.py`, which makes the environment)

Also the protocol of both sides (`serve`), so that one run can ask them in turn: a line "CASE COUNT" on stdin is answered by a line
of JSON, the CPU seconds of all threads and the seconds that this case took. What comes first (imports, the model) is not measured.
Gives the other side its best case: the plain loop without Lightning's trainer, amounts on a log scale beforehand (its own `log`
scaler goes user by user), no noise on embeddings.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

BATCH = 64
WIDTH = 64
THREADS = 2


def serve(cases: dict[str, Callable[[int], None]]) -> None:
    """Answers lines "CASE COUNT" until stdin ends; the case is done COUNT times."""
    torch.set_num_threads(THREADS)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        name, count = line.rsplit(" ", 1)
        cpu, wall = time.process_time(), time.perf_counter()
        cases[name](int(count))
        print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}), flush=True)


def main(folder: Path) -> None:
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from ptls.data_load.utils import collate_feature_dict
    from ptls.frames.cpc import CpcModule
    from ptls.frames.cpc.datasets.cpc_dataset import CpcDataset
    from ptls.nn import RnnSeqEncoder, TrxEncoder

    arrays = np.load(folder / "sequences.npz")
    texts, times = int(arrays["vectors"].shape[0]), arrays["time"]
    gap = np.log1p(np.diff(times, axis=1, prepend=times[:, :1]) / 3.6e9)  # log hours since the event before
    columns = {
        "event_time": torch.from_numpy(times // 1_000_000),
        "text": torch.from_numpy(arrays["text"].astype(np.int64) + 1),  # 0 is padding
        "channel": torch.from_numpy(arrays["channel"].astype(np.int64) + 1),
        "amount": torch.from_numpy(arrays["amount"].astype(np.float32)),
        "gap": torch.from_numpy(gap.astype(np.float32)),
    }
    sequences = [{name: column[user] for name, column in columns.items()} for user in range(len(times))]
    torch.manual_seed(0)
    encoder = RnnSeqEncoder(
        trx_encoder=TrxEncoder(
            embeddings={"text": {"in": texts + 1, "out": 32}, "channel": {"in": 5, "out": 4}},
            numeric_values={"amount": "identity", "gap": "identity"},
        ),
        hidden_size=WIDTH,
        type="gru",
    )
    module = CpcModule(
        seq_encoder=encoder,
        n_negatives=40,
        n_forward_steps=6,
        optimizer_partial=torch.optim.Adam,
        lr_scheduler_partial=lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
    )
    data = CpcDataset(sequences, min_len=times.shape[1], max_len=times.shape[1])  # whole sequences, as the other side reads
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, drop_last=True, collate_fn=CpcDataset.collate_fn)
    (optimizer,), _ = module.configure_optimizers()

    def train(steps: int) -> None:
        module.train()
        encoder.is_reduce_sequence = False
        finished = 0
        while finished < steps:
            for batch in loader:
                loss = module._loss(*module.shared_step(*batch))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                finished += 1
                if finished == steps:
                    break

    def embed(batches: int, size: int) -> None:
        module.eval()
        encoder.is_reduce_sequence = True
        with torch.inference_mode():
            for i in range(batches):
                start = i * size % (len(sequences) - size + 1)
                encoder(collate_feature_dict(sequences[start : start + size])).numpy()

    serve({"train": train, "embed 64": lambda n: embed(n, 64), "embed 1024": lambda n: embed(n, 1024)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
