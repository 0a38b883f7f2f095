"""The scores of an audience, and its precision at each reach in a past window, as a picture."""

import io
from collections.abc import Sequence

from found_platform.audiences.preview import Histogram
from found_platform.scoring.heads import OperatingPoint


def plot(scores: Histogram, curve: Sequence[OperatingPoint]) -> bytes:
    """PNG: the histogram of scores, members apart; where there is a curve, beside it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

    figure, axes = plt.subplots(1, 2 if curve else 1, figsize=(9 if curve else 4.5, 3), layout="constrained", squeeze=False)
    left = axes[0, 0]
    width = scores.edges[1] - scores.edges[0]
    left.bar(scores.edges[:-1], scores.counts, width=width, align="edge", color="tab:blue", alpha=0.7)
    if scores.threshold is not None:
        left.axvspan(scores.threshold, scores.edges[-1], color="tab:orange", alpha=0.25, label="members", zorder=0)
        left.legend(fontsize=8)
    left.set(xlabel="score", ylabel="users (log scale)", title="everybody who can be chosen", yscale="log")
    if curve:
        right = axes[0, 1]
        points = sorted(curve, key=lambda point: point.share)
        shares = [p.share for p in points]
        right.fill_between(shares, [p.low for p in points], [p.high for p in points], alpha=0.25, label="95 % interval")
        right.plot(shares, [p.precision for p in points], marker=".", label="precision")
        right.plot(shares, [p.recall for p in points], marker=".", linestyle="--", color="tab:gray", label="recall")
        right.set(xscale="log", ylim=(0, 1.02), xlabel="reach: share of users", title="in a past window")
        right.set_xticks(shares, [f"{share:.0%}" for share in shares], minor=False, fontsize=7)
        right.minorticks_off()
        right.yaxis.set_major_formatter(PercentFormatter(1))
        right.legend(fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    plt.close(figure)
    return out.getvalue()
