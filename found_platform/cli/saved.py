"""`found audience preview|save|refresh|list|show|export|lift|forget|audit`: audiences that are kept."""

import contextlib
import io
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from found_platform.audiences import export as exporting
from found_platform.audiences import lift as lifting
from found_platform.audiences import membership, pictures, specification
from found_platform.audiences import preview as previewing
from found_platform.audiences.lookup import Question
from found_platform.audiences.membership import Refresh
from found_platform.audiences.preview import Preview
from found_platform.audiences.specification import Specification
from found_platform.cli.app import existing_home, print_json
from found_platform.cli.rewriter import understood
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy import audit as audit_log
from found_platform.privacy import keys
from found_platform.settings import Settings

SHOWN = 20
"""Rows of a table; the JSON has them all."""


@dataclass(frozen=True)
class Wanted:
    """An audience as the options of a command say it."""

    question: Question
    exclude: list[Path]
    without: list[str]
    top: int | None
    level: str | None
    min_score: float | None
    holdout: float

    def specification(self, settings: Settings, name: str) -> Specification:
        """Checked against the home; of a balanced size where none is said."""
        users = set().union(*(keys.read_users(settings, file) for file in self.exclude))
        sized = self.top is not None or self.level is not None or self.min_score is not None
        return specification.draft(
            settings,
            audience=name,
            question=self.question,
            without_audiences=tuple(dict.fromkeys(self.without)),
            without_users=tuple(sorted(users)),
            top=self.top,
            level=self.level if sized else "balanced",
            min_score=self.min_score,
            holdout=self.holdout,
        )


def preview(wanted: Wanted, *, name: str | None, plot: Path | None, home: Path, as_json: bool) -> None:
    """Prints what an audience would be; without a question, what a saved one would be at its next refresh."""
    settings = Settings.load(existing_home(home))
    if name is not None and wanted.question.sentence is None and wanted.question.prompt is None:
        asked = specification.newest(settings, name)
    else:
        asked = wanted.specification(settings, name or specification.UNNAMED)
    with _quiet():
        found = previewing.preview(settings, asked)
    if plot is not None:
        try:
            plot.write_bytes(pictures.plot(found.histogram, found.curve))
        except OSError as error:
            raise BadInput(f"{plot} cannot be written: {error.strerror or error}.") from None
    if as_json:
        print_json(found.as_dict())
    else:
        _show_preview(_console(), asked, found)


def save(name: str, wanted: Wanted, *, home: Path, as_json: bool) -> None:
    """Keeps a specification as the next version of an audience, and finds its members."""
    settings = Settings.load(existing_home(home))
    asked = wanted.specification(settings, name)
    if name == specification.UNNAMED:
        raise BadInput(f"No audience is called {name}: choose another name.")
    made = specification.save(settings, asked)
    try:
        _refresh(settings, name)
    except (BadInput, JobFailed) as error:
        raise type(error)(f"Version {made.version} of {name} is saved, and its members could not be found: {error}") from None
    _say_members(settings, [name], home, as_json, hint=True)


def refresh(name: str | None, *, every: bool, home: Path, as_json: bool) -> None:
    """Finds the members of an audience, or of every one, anew. One that fails does not stop the others."""
    settings = Settings.load(existing_home(home))
    if (name is None) != every:
        raise BadInput("Say which audience to refresh, or --all.")
    names = specification.in_order(settings) if name is None else [specification.newest(settings, name).audience]
    failed: dict[str, Exception] = {}
    before = {each: membership.last(settings, each) for each in names}
    for each in names:
        try:
            _refresh(settings, each)
        except (BadInput, JobFailed) as error:
            failed[each] = error
    if name in failed:
        raise failed[name]
    done = [each for each in names if each not in failed]
    _say_members(settings, done, home, as_json)
    same = [each for each in done if before[each] == membership.last(settings, each)]
    if same and not as_json:
        print(f"Nothing had changed for {', '.join(same)}: nobody joined, nobody left.")
    if failed:
        said = "; ".join(f"{each}: {error}" for each, error in failed.items())
        raise JobFailed(f"{len(failed)} of {len(names)} audiences keep their last members: {said}")


def list_saved(*, home: Path, as_json: bool) -> None:
    """Prints the saved audiences."""
    settings = Settings.load(existing_home(home))
    _say_members(settings, specification.names(settings), home, as_json)


def show(name: str, *, home: Path, as_json: bool) -> None:
    """Prints what an audience is, and its refreshes."""
    settings = Settings.load(existing_home(home))
    asked, refreshes = specification.newest(settings, name), membership.history(settings, name)
    if as_json:
        print_json({**_asked(asked), "refreshes": [asdict(refresh) for refresh in refreshes]})
        return
    console = _console()
    console.print(f"{name}, version {asked.version}, by {asked.created_by}, {asked.created_at:%Y-%m-%d %H:%M} UTC", style="bold")
    for what, value in asked.said().items():
        console.print(f"  {what.replace('_', ' '):<18} {value}", soft_wrap=True)
    table = _table("#", "refreshed", "as of", "model", "members", "held out", "joined", "left")
    for r in refreshes[:SHOWN]:
        counts = (f"{n:,}" for n in (r.size, r.held_out, r.joins, r.leaves))
        table.add_row(str(r.refresh), f"{r.refreshed_at:%Y-%m-%d}", str(r.as_of), r.model_version, *counts)
    console.print(table)
    if refreshes:
        console.print(f"{refreshes[0].mode}: {refreshes[0].reason}", soft_wrap=True)
        console.print(f"The size: {refreshes[0].size_because}.", soft_wrap=True)


def export(name: str, *, out: Path, with_holdout: bool, home: Path, as_json: bool) -> None:
    """Writes the members of an audience, and beside them where they come from."""
    done = exporting.export(Settings.load(existing_home(home)), name, out, with_holdout=with_holdout)
    if as_json:
        print_json(asdict(done))
        return
    console = _console()
    console.print(f"{done.users:,} users in {done.path}; where they come from is in {done.provenance}.", soft_wrap=True)
    if done.held_out:
        console.print(f"{done.held_out:,} users of the holdout are {'in it, and marked' if with_holdout else 'left out'}.")
    if done.kept_back:
        console.print(f"{done.kept_back:,} members may not be targeted any more, and are left out.")


def lift(name: str, *, days: int | None, texts: list[str], categories: list[str], home: Path, as_json: bool) -> None:
    """Prints what an audience was worth against its holdout."""
    settings = Settings.load(existing_home(home))
    with _quiet():
        found = lifting.measure(settings, name, days=days, texts=tuple(texts), categories=tuple(categories))
    if as_json:
        print_json(found.as_dict())
        return
    console = _console()
    console.print(f"{name}, refresh {found.refresh}: who {found.outcome}, from {found.first} to before {found.end}", soft_wrap=True)
    table = _table("", "users", "did it", "share")
    for label, group in (("exposed", found.exposed), ("holdout", found.holdout)):
        table.add_row(label, f"{group.users:,}", f"{group.did:,}", f"{group.share:.1%}" if group.users else "-")
    console.print(table)
    if found.difference is not None and found.low is not None and found.high is not None:
        low, high = f"{100 * found.low:+.1f}", f"{100 * found.high:+.1f}"
        console.print(f"difference {100 * found.difference:+.1f} points, 95 % interval {low} to {high}")
    console.print(f"{found.word[0].upper()}{found.word[1:]}.", soft_wrap=True)


def forget(name: str, *, home: Path) -> None:
    """Removes an audience."""
    settings = Settings.load(existing_home(home))
    specification.newest(settings, name)
    from dagster_defs import run as graph

    graph.forget(settings, name)
    print(f"The audience {name} is gone, with its members at every refresh. The audit keeps what was done with it.")


def audit(*, home: Path, as_json: bool) -> None:
    """Prints who asked what, newest first."""
    rows = audit_log.entries(Settings.load(existing_home(home)))
    if as_json:
        print_json({"count": len(rows), "entries": rows})
        return
    console = _console()
    table = _table("at (UTC)", "who", "action", "audience", "rows", "question")
    for row in rows[:SHOWN]:
        count = "" if row["rows"] is None else f"{row['rows']:,}"
        cells = (f"{row['at']:%Y-%m-%d %H:%M}", row["who"], row["action"], row["audience"] or "", count)
        table.add_row(*cells, row["question"] or "")
    _wrap_last(table)
    console.print(table)
    console.print(f"{len(rows):,} rows" + (f"; the newest {SHOWN} are shown." if len(rows) > SHOWN else "."))


def _refresh(settings: Settings, name: str) -> None:
    from dagster_defs import run as graph

    with _quiet():
        graph.refresh(settings, name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Libraries may print while they load; stdout is for the answer."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _say_members(settings: Settings, names: list[str], home: Path, as_json: bool, *, hint: bool = False) -> None:
    """A line an audience: what it is and who is in it."""
    saved = [(specification.newest(settings, name), membership.history(settings, name)[:2]) for name in names]
    if as_json:
        rows = [{**_asked(asked), "refresh": asdict(last[0]) if last else None} for asked, last in saved]
        print_json({"home": str(home.resolve()), "audiences": rows})
        return
    console = _console()
    if not saved:
        console.print('No audience is saved: `found audience save NAME "WHOM TO REACH"` makes one.')
        return
    table = _table("audience", "members", "joined", "left", "as of", "refreshed", "asked")  # the rest is in `show`
    for asked, last in saved:
        table.add_row(asked.audience, *_figures(last[0] if last else None), _question(asked))
    _wrap_last(table)
    console.print(table)
    for asked, last in saved:
        warning = membership.jump(last[1].size, last[0].size) if len(last) > 1 else None
        if warning:
            console.print(f"Look at {asked.audience}: {warning}.", soft_wrap=True)
    if hint and saved:
        at = "" if home == Path(".found") else f" --home {shlex.quote(str(home))}"
        console.print(f"To take it out: found audience export {saved[0][0].audience} --out FILE.csv{at}", soft_wrap=True)


def _figures(last: Refresh | None) -> list[str]:
    if last is None:
        return ["-"] * 5
    counts = [f"{n:,}" for n in (last.size, last.joins, last.leaves)]
    return [*counts, str(last.as_of), f"{last.refreshed_at:%Y-%m-%d}"]


def _question(asked: Specification) -> str:
    return f"“{asked.question.sentence}”" if asked.question.sentence else f"prompt {asked.question.prompt}"


def _asked(asked: Specification) -> dict[str, Any]:
    made = {"created_by": asked.created_by, "created_at": asked.created_at}
    return {"audience": asked.audience, "version": asked.version, "specification": asked.said(), **made}


def _show_preview(console: Console, asked: Specification, found: Preview) -> None:
    console.print(_question(asked), style="bold", soft_wrap=True)
    console.print(
        f"{found.size:,} users, {found.share_of_base:.1%} of the {found.base:,} with a history ({found.eligible:,} can be chosen), "
        f"as of {found.as_of}, model version {found.model_version}",
        soft_wrap=True,
    )
    console.print(f"The size: {found.size_because}.", soft_wrap=True)
    console.print(f"{found.mode}: {found.reason}", soft_wrap=True)
    for line in understood(found.rewriting) if found.rewriting else ():
        console.print(line, soft_wrap=True)
    if found.held_out:
        console.print(f"{found.held_out:,} of them would be held out.")
    if found.warning:
        console.print(f"Warning: {found.warning}.", style="bold", soft_wrap=True)
    table = _table("rank", "user", "score", "chance", "because of")
    for member in found.sample:
        chance = "" if member.probability is None else f"{member.probability:.0%}"
        because = ", ".join(f"{e.text} ({e.share:.0%})" for e in member.evidence[:3])
        table.add_row(f"{member.rank:,}", member.user_id, f"{member.score:.3f}", chance, because)
    table.columns[1].justify = table.columns[-1].justify = "left"
    console.print("\nMembers from the best to the last:")
    console.print(table)
    if found.typical:
        table = _table("they have more often", "members", "everybody")
        for t in found.typical:
            table.add_row(t.text, f"{t.audience:.0%}", f"{t.base:.0%}")
        console.print(table)
    console.print("Scores of everybody who can be chosen:")
    scores, most = found.histogram, max(found.histogram.counts)
    for low, high, count in zip(scores.edges, scores.edges[1:], scores.counts, strict=False):
        inside = scores.threshold is not None and high >= scores.threshold
        bar = "█" * max(round(40 * count / max(most, 1)), bool(count))
        console.print(f"  {low:>8.3f} {bar:<40} {count:>7,}{'  members' if inside and count else ''}")
    if found.curve:
        table = _table("reach", "users", "precision", "95 % interval", "recall")
        for p in found.curve:
            table.add_row(f"{p.share:.0%}", f"{p.users:,}", f"{p.precision:.1%}", f"{p.low:.1%} to {p.high:.1%}", f"{p.recall:.1%}")
        console.print("\nHad it been asked in a past window:")
        console.print(table)
    if found.reliability:
        table = _table("chance that was said", "users", "did it")
        for b in found.reliability:
            table.add_row(f"{b.predicted:.1%}", f"{b.users:,}", f"{b.observed:.1%}")
        console.print("\nWhether the chances came true then:")
        console.print(table)
    if found.overlaps:
        table = _table("saved audience", "members", "shared", "Jaccard")
        for o in found.overlaps:
            table.add_row(o.audience, f"{o.size:,}", f"{o.shared:,}", f"{o.jaccard:.2f}")
        console.print(table)


def _console() -> Console:
    return Console(highlight=False, markup=False)


def _wrap_last(table: Table) -> None:
    """Only the last column, a text, gives way where the terminal is narrow."""
    for column in table.columns[:-1]:
        column.no_wrap = True
    table.columns[-1].justify = "left"


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
