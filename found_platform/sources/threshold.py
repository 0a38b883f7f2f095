"""The share of bad rows over which a source is refused, asked of a scan that waits before a home is made for it.

What belongs here: the question. What does not: the scan and its sentence (`staging`, `stage_report`), counts (`counts`, `profile`).
"""

from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import counts, folders, pulls, stage_report, staging
from found_platform.sources.config import SourceConfig
from found_platform.sources.profile import ProfileReport, read_profile


def check(settings: Settings, source: SourceConfig) -> None:
    """Raises BadInput where more rows of the scan that waits in a home's folder are bad than the setting allows.

    A home that exists is not asked this way: its run keeps what was staged before, and names each bad row in the quarantine table.
    """
    if not folders.waits(settings):
        return
    con = staging.open_scan(settings, source)
    try:
        channels, profile = counts.report(con), ProfileReport()
        if (entry := pulls.local(source, settings.pulled).profile) is not None:
            profile = read_profile(con, entry, source.profile_schema or {})[1]
    finally:
        con.close()
    report = stage_report.StageReport(channels, 0, profile, round(counts.bad_share(channels), 6), False, 0.0)
    if max(report.bad_share, profile.bad_share) > settings.quarantine_threshold:
        raise BadInput(stage_report.threshold_sentence(settings, report))
