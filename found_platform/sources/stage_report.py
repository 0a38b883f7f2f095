"""What staging did, and the sentence of a source that has too many bad rows. What does not belong here: staging (`staging`)."""

from dataclasses import dataclass

from found_platform.settings import Settings
from found_platform.sources.counts import ChannelReport
from found_platform.sources.profile import ProfileReport


@dataclass(frozen=True)
class StageReport:
    """What staging did. `staged` is false where too many rows were bad: then the last good staging stays."""

    channels: list[ChannelReport]
    equal_rows: int
    profile: ProfileReport
    bad_share: float  # of the events; the profile has its own
    staged: bool
    seconds: float
    lost_rows: int = 0  # that were staged before and that the source no longer holds
    kept_rows: int = 0  # staged though the source does not hold them

    @property
    def bad_rows(self) -> int:
        return sum(c.bad_rows for c in self.channels) + self.profile.bad_rows


def threshold_sentence(settings: Settings, report: StageReport) -> str:
    """The one sentence for too many bad rows."""
    if report.profile.bad_share > report.bad_share:
        share, whose, bad = report.profile.bad_share, "profile's", [(n, reason, "") for reason, n in report.profile.bad.items()]
    else:
        share, whose = report.bad_share, "source's"
        bad = [(n, reason, f"in channel {c.channel!r}: ") for c in report.channels for reason, n in c.bad.items()]
    n, reason, where = max(bad)
    return (
        f"{share:.1%} of the {whose} rows are bad, over the threshold of {settings.quarantine_threshold:.1%} "
        f"(most often {where}{reason}, {n:,} rows): mend the source, of which `found source check` shows a row of each kind, "
        "or raise FOUND_QUARANTINE_THRESHOLD; lake/quarantine of a home then names each."
    )
