"""The curves of a training run as a picture."""

import io


def plot(curves: dict[str, list[tuple[int, float]]]) -> bytes:
    """PNG: the training loss and its parts on the left, held-out users on the right. Curves are (step, value) by figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
    for name, points in curves.items():
        if name.startswith("loss"):
            left.plot(*zip(*points, strict=True), label=name.removeprefix("loss_"), linewidth=1.6 if name == "loss" else 1)
    left.set(xlabel="step", title="training loss")
    left.legend(fontsize=7)
    held_out = [n for n in ("held_out_recall_at_10", "held_out_mrr", "held_out_frozen_mrr") if n in curves] or ["held_out_score"]
    for name in held_out:
        right.plot(*zip(*curves.get(name, [(0, 0.0)]), strict=True), marker=".", label=name.removeprefix("held_out_"))
    right.set(xlabel="step", title="held-out users")
    right.legend(fontsize=7)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    plt.close(figure)
    return out.getvalue()
