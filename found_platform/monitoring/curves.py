"""The curves of a training run as a picture."""

import io

HELD_OUT = ("recall_at_10", "phrase_auc")
"""What the alignment is judged by; dashed, where it began. Stage 1 has one score."""


def plot(curves: dict[str, list[tuple[int, float]]]) -> bytes:
    """PNG: the training loss and its parts on the left, held-out users on the right. Curves are (step, value) by figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.8), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, points in curves.items():
        if name.startswith("loss"):
            left.plot(*zip(*points, strict=True), label=name.removeprefix("loss_"), linewidth=1.6 if name == "loss" else 1)
    left.set(xlabel="step", title="training loss")
    left.legend(fontsize=7, loc="center right")
    held_out = [n for n in HELD_OUT if f"held_out_{n}" in curves] or ["score"]
    for color, name in zip(("C0", "C1"), held_out, strict=False):
        for start, style in (("", "-"), ("frozen_", "--")):
            points = curves.get(f"held_out_{start}{name}")
            if points:
                right.plot(*zip(*points, strict=True), style, color=color, marker=".", label=f"{start}{name}")
    right.set(xlabel="step", title="held-out users")
    right.legend(fontsize=7)
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()
