"""A source that is scanned without a home: what `found source check` shows.

What belongs here: asking what `found demo` would ask, and keeping nothing. What does not: opening a home and staging (`staging`).
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from found_platform import contract, lake
from found_platform.errors import BadInput
from found_platform.privacy import suppression
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import counts, growth, pulls, review, scan, staging, survey, totals
from found_platform.sources.config import SourceConfig
from found_platform.sources.counts import ChannelReport
from found_platform.sources.entries import entries_of
from found_platform.sources.profile import ProfileReport, read_profile
from found_platform.sources.stage_report import StageReport, threshold_sentence


def check(source: SourceConfig) -> tuple[SourceConfig, list[ChannelReport], int, ProfileReport]:
    """Scans a source without keeping anything: its found config, a report a channel, equal rows, a report of the profile."""
    return examine(Settings.load(Path()), source)[:4]


class Examined(NamedTuple):
    """A source that was scanned without a home. `refusals` are the sentences with which `found demo` would refuse it, `notes` what
    it would say of its rhythm."""

    source: SourceConfig
    channels: list[ChannelReport]
    equal_rows: int
    profile: ProfileReport
    refusals: list[str]
    notes: list[str]


def examine(settings: Settings, source: SourceConfig) -> Examined:
    """Scans a source without keeping anything, and asks of it what `found demo` asks before it makes a home with these settings."""
    con = lake.connect()
    if source.simulator:
        raise BadInput("A simulated source has no files to check: run `found demo` instead.")
    with tempfile.TemporaryDirectory(prefix="found-") as folder, pulls.origins_named(source, Path(folder)):
        files = pulls.refresh(source, Path(folder))[0]
        read, days = staging.discovered(con, source, files)
        dated = files.model_copy(update={"span": source.span or read.span, "profile_schema": read.profile_schema})
        scan.scan(con, dated)
        profile = read_profile(con, dated.profile, dated.profile_schema or {})[1] if dated.profile else ProfileReport()
        channels, equal = counts.report(con), counts.equal_rows(con)
        titles = [entry.path or entry.table or "the query" for _, entry in entries_of(source)]
        notes = review.notes(con, dated, channels, profile, [title.rsplit("/", 1)[-1] for title in titles])
    dated = source.model_copy(update={"span": dated.span, "profile_schema": dated.profile_schema, "data_days": days})
    report = StageReport(channels, equal, profile, round(counts.bad_share(channels), 6), False, 0.0)
    refusals: list[str] = []

    def good_days() -> None:
        nonlocal dated
        if rows := survey.days(con):
            dated = dated.model_copy(update={"data_days": growth.clipped(source.span, min(rows), max(rows))})

    def rhythm() -> None:
        default = settings.horizon_days
        choices = survey.horizons(settings, new=True)
        measured = survey.rhythms(totals.InProcess(con), dated.days, None, choices)
        chosen = survey.choose(measured, default)
        survey.check_cutoff(chosen.horizon_days if chosen else min(choices), dated.days, None)
        if chosen is not None:
            notes.extend([] if chosen.horizon_days == default else [survey.horizon_sentence(chosen, measured, default)])
            notes.extend([] if chosen.judged else [chosen.sentence()])

    for ask in (  # in the order in which `found demo` asks: it stops at the first, and says the same
        lambda: suppression.check_consent(settings, contract.attributes(dated.profile_schema or {})),
        lambda: staging.check_plausible(con, source),
        good_days,
        rhythm,
        lambda: source_config.check_days(dated),
    ):
        try:
            ask()
        except BadInput as error:
            refusals.append(str(error))
            break  # the next question would be about days that are slips
    if max(report.bad_share, profile.bad_share) > settings.quarantine_threshold:
        refusals.append(threshold_sentence(settings, report))
    return Examined(dated, channels, equal, profile, refusals, notes)
