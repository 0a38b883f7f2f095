"""`found audience preview|save|refresh|list|show|export|lift|forget|audit`: audiences that are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from found_platform.cli.asking import ask, home_option
from found_platform.cli.audience import expectation
from found_platform.cli.options import AudienceName, DraftOptions, Every, Force, Place, QuestionOptions, SizeOptions
from found_platform.cli.tables import print_json, table, terminal
from found_platform.errors import BadInput, JobFailed

if TYPE_CHECKING:
    from found_platform.app.audiences import Listing, Previewed, Refresh, Specification

SHOWN = 20
"""Rows of a table; the JSON has them all."""


def preview(
    question: QuestionOptions,
    size: SizeOptions,
    left_out: DraftOptions,
    place: Place,
    name: Annotated[str | None, typer.Option(help="The audience it is for; alone, what that one would be now.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw scores and past precision into this PNG.")] = None,
    force: Force = False,
) -> None:
    """Say what an audience would be, before it is saved."""
    from found_platform.app import audiences

    by_name = name is not None and question.sentence is None and question.prompt is None
    draft = None if by_name else left_out.draft(question, size)
    previewed = ask(audiences.preview, place.home, audiences.Previewing(draft, name, plot, force))
    if place.as_json:
        print_json(previewed)
    else:
        _show_preview(terminal(), previewed)


def save(name: AudienceName, question: QuestionOptions, size: SizeOptions, left_out: DraftOptions, place: Place) -> None:
    """Save an audience, or a new version of it, and find its members."""
    from found_platform.app import audiences

    listing = ask(audiences.save, place.home, audiences.Save(name, left_out.draft(question, size)))
    _show_listing(listing, place)
    if not place.as_json:
        line = f"To take it out: found audience export {name} --out FILE.csv{home_option(place.home)}"
        terminal().print(line, soft_wrap=True)


def refresh(
    place: Place,
    name: Annotated[str | None, typer.Argument(help="A saved audience.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every saved audience.")] = False,
) -> None:
    """Find the members of a saved audience anew."""
    from found_platform.app import audiences

    if (name is None) != every:
        raise BadInput("Say which audience to refresh, or --all.")
    refreshed = ask(audiences.refresh, place.home, name)
    _show_listing(refreshed, place)
    if refreshed.unchanged and not place.as_json:
        print(f"Nothing had changed for {', '.join(refreshed.unchanged)}: nobody joined, nobody left.")
    if refreshed.frozen and not place.as_json:
        print(f"Frozen, and left as {'they are' if len(refreshed.frozen) > 1 else 'it is'}: {', '.join(refreshed.frozen)}.")
    if refreshed.failure:
        raise JobFailed(refreshed.failure)


def keep(
    name: AudienceName,
    place: Place,
    every: Annotated[Every | None, typer.Option(help="How often its members are found anew; never freezes it.")] = None,
    deliver_to: Annotated[
        list[str] | None, typer.Option(help="A destination that each refresh goes to; may be repeated, `none` for none.")
    ] = None,
    changes: Annotated[
        bool | None, typer.Option("--changes/--whole", help="Deliver who joined and who left, or everybody.")
    ] = None,
) -> None:
    """Say how a saved audience is kept: how often it is refreshed, or frozen, and where its members go."""
    from found_platform.app import audiences

    places = None if deliver_to is None else tuple(dict.fromkeys(place for place in deliver_to if place != "none"))
    upkeep = audiences.Upkeep(name, every.value if every else None, places, changes)
    _show_listing(ask(audiences.keep, place.home, upkeep), place)


def list_saved(place: Place) -> None:
    """List the saved audiences."""
    from found_platform.app import audiences

    _show_listing(ask(audiences.list_saved, place.home), place)


def show(name: AudienceName, place: Place) -> None:
    """Show what a saved audience is, and its refreshes."""
    from found_platform.app import audiences

    page = ask(audiences.show, place.home, name)
    if place.as_json:
        print_json(page)
        return
    described, refreshes, console = page.specification, page.refreshes, terminal()
    by = f"by {described.created_by}, {described.created_at:%Y-%m-%d %H:%M} UTC"
    console.print(f"{name}, version {described.version}, {by}", style="bold")
    for what, value in described.summary().items():
        console.print(f"  {what.replace('_', ' '):<18} {value}", soft_wrap=True)
    rows = [
        (
            str(r.refresh),
            f"{r.refreshed_at:%Y-%m-%d}",
            str(r.as_of),
            r.model_version,
            *(f"{n:,}" for n in (r.size, r.held_out, r.joins, r.leaves)),
        )
        for r in refreshes[:SHOWN]
    ]
    console.print(table("#", "refreshed", "as of", "model", "members", "held out", "joined", "left", rows=rows))
    if refreshes:
        console.print(f"{refreshes[0].mode}: {refreshes[0].reason}", soft_wrap=True)
        console.print(f"The size: {refreshes[0].size_because}.", soft_wrap=True)
    if page.failure:
        console.print(page.failure, style="bold", soft_wrap=True)
    if page.outdated:
        console.print(page.outdated, style="bold", soft_wrap=True)


def export(
    name: AudienceName,
    place: Place,
    out: Annotated[Path, typer.Option(help="FILE.parquet or FILE.csv.")],
    holdout: Annotated[bool, typer.Option("--holdout", help="With the users of the holdout, marked.")] = False,
    force: Force = False,
) -> None:
    """Write the members of a saved audience, by the ids of the source, and where they come from."""
    from found_platform.app import audiences

    exported = ask(audiences.export, place.home, audiences.Export(name, out, holdout, force))
    if place.as_json:
        print_json(exported)
        return
    console = terminal()
    console.print(f"{exported.users:,} users in {exported.path}; where they come from is in {exported.provenance}.", soft_wrap=True)
    if exported.held_out:
        console.print(f"{exported.held_out:,} users of the holdout are {'in it, and marked' if holdout else 'left out'}.")
    if exported.kept_back:
        without = f" ({exported.without_id:,} of them have no id in the vault)" if exported.without_id else ""
        console.print(f"{exported.kept_back:,} members may not be targeted any more, and are left out{without}.")


def deliver(
    name: AudienceName,
    place: Place,
    to: Annotated[str, typer.Option(help="A destination, see `found destination list`.")],
    changes: Annotated[bool, typer.Option("--changes", help="Who joined and who left since the last delivery there.")] = False,
) -> None:
    """Send the members of a saved audience to a destination."""
    from found_platform.app import deliveries

    sent = ask(deliveries.deliver, place.home, deliveries.Deliver(name, to, changes))
    if place.as_json:
        print_json(sent)
    elif sent.repeated:
        print(f"Delivered before, at {sent.at:%Y-%m-%d %H:%M} UTC, and nothing has changed: nothing was sent.")
    else:
        left = f", and {sent.removed:,} who left" if changes else ""
        note = f" ({sent.note})" if sent.note else ""
        print(f"{sent.users:,} users{left} delivered to {to}{note}, delivery {sent.id}.")


def lift(
    name: AudienceName,
    place: Place,
    days: Annotated[int | None, typer.Option(min=1, help="Days after the export [default: the horizon].")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="A text that counts; may be repeated. Default: what the demand matches.")
    ] = None,
    category: Annotated[list[str] | None, typer.Option(help="A category that counts; may be repeated.")] = None,
) -> None:
    """Compare the members of a past refresh with its holdout."""
    from found_platform.app import audiences

    request = audiences.Measure(name, days, tuple(text or ()), tuple(category or ()))
    worth = ask(audiences.lift, place.home, request)
    if place.as_json:
        print_json(worth)
        return
    console = terminal()
    console.print(f"{name}, refresh {worth.refresh}: who {worth.outcome}, from {worth.first} to before {worth.end}", soft_wrap=True)
    for one in worth.exports:
        holdout = ", the holdout among them" if one.with_holdout else ""
        console.print(f"exported {one.at:%Y-%m-%d %H:%M} UTC: {one.users:,} users{holdout}")
    if not worth.exports:
        console.print("never exported")
    groups = table("", "users", "did it", "share")
    for label, group in (("exposed", worth.exposed), ("holdout", worth.holdout)):
        groups.add_row(label, f"{group.users:,}", f"{group.did:,}", f"{group.share:.1%}" if group.users else "-")
    console.print(groups)
    if worth.difference is not None and worth.low is not None and worth.high is not None:
        low, high = f"{100 * worth.low:+.1f}", f"{100 * worth.high:+.1f}"
        console.print(f"difference {100 * worth.difference:+.1f} points, 95 % interval {low} to {high}")
    console.print(f"{worth.word[0].upper()}{worth.word[1:]}.", soft_wrap=True)


def forget(name: AudienceName, place: Place) -> None:
    """Remove a saved audience and its members."""
    from found_platform.app import audiences

    forgotten = ask(audiences.forget, place.home, name)
    if place.as_json:
        print_json(forgotten)
        return
    print(f"The audience {name} is gone, with its members at every refresh. The audit keeps what was done with it.")


def audit(place: Place) -> None:
    """Say who asked what, newest first."""
    from found_platform.app import audit

    log = ask(audit.entries, place.home)
    if place.as_json:
        print_json(log)
        return
    console = terminal()
    rows = []
    for row in log.entries[:SHOWN]:
        count = "" if row.rows is None else f"{row.rows:,}"
        rows.append((f"{row.at:%Y-%m-%d %H:%M}", row.who, row.action, row.audience or "", count, row.question or ""))
    words = ("at (UTC)", "who", "action", "audience", "question")
    console.print(table("at (UTC)", "who", "action", "audience", "rows", "question", left=words, wrap="question", rows=rows))
    console.print(f"{log.count:,} rows" + (f"; the newest {SHOWN} are shown." if log.count > SHOWN else "."))


def _show_listing(listing: "Listing", place: Place) -> None:
    """A line an audience: what it is and who is in it. The rest is in `show`."""
    if place.as_json:
        print_json(listing)
        return
    console = terminal()
    if not listing.audiences:
        console.print('No audience is saved: `found audience save NAME "WHOM TO REACH"` makes one.')
        return
    rows = [
        (row.specification.audience, *_figures(row.refresh, same=row.changed is False), _question(row.specification))
        for row in listing.audiences
    ]
    console.print(table("audience", "members", "joined", "left", "as of", "refreshed", "asked", wrap="asked", rows=rows))
    for row in listing.audiences:
        if row.refresh and not row.refresh.size:
            console.print(f"Nobody is in {row.specification.audience}: {row.refresh.size_because}.", soft_wrap=True)
        if row.warning:
            console.print(f"Look at {row.specification.audience}: {row.warning}.", soft_wrap=True)


def _figures(last: "Refresh | None", *, same: bool) -> list[str]:
    """What a refresh left; at the `same` members again nobody joined or left, whoever did at the last one that changed them."""
    if last is None:
        return ["-"] * 5
    counts = [f"{n:,}" for n in (last.size, *((0, 0) if same else (last.joins, last.leaves)))]
    return [*counts, str(last.as_of), f"{last.refreshed_at:%Y-%m-%d}"]


def _question(described: "Specification") -> str:
    return f"“{described.question.sentence}”" if described.question.sentence else f"prompt {described.question.prompt}"


def _show_preview(console: Console, previewed: "Previewed") -> None:
    from found_platform.app import rewriting

    seen = previewed.preview
    console.print(_question(previewed.specification), style="bold", soft_wrap=True)
    console.print(
        f"{seen.size:,} users, {seen.share_of_base:.1%} of the {seen.base:,} with a history ({seen.eligible:,} can be chosen), "
        f"as of {seen.as_of}, model version {seen.model_version}",
        soft_wrap=True,
    )
    console.print(f"The size: {seen.size_because}.", soft_wrap=True)
    console.print(f"{seen.mode}: {seen.reason}", soft_wrap=True)
    if seen.outcome_in_words:
        console.print(f"asked: {seen.outcome_in_words}", soft_wrap=True)
    for line in rewriting.in_short(seen.rewriting) if seen.rewriting else ():
        console.print(line, soft_wrap=True)
    if seen.held_out:
        console.print(f"{seen.held_out:,} of them would be held out.")
    if seen.warning:
        console.print(f"Warning: {seen.warning}.", style="bold", soft_wrap=True)
    if not seen.eligible:
        return
    is_share = seen.outcome is not None and seen.outcome.get("rank") == "affinity"
    is_chance = all(member.expected is None for member in seen.sample)
    measure = "chance" if is_chance else "share" if is_share else "amount"
    sample = table("rank", "user", "score", measure, "because of", left=("rank", "user", "because of"))
    for member in seen.sample:
        chance = expectation(member.expected, is_share) or ("" if member.probability is None else f"{member.probability:.0%}")
        because = ", ".join(f"{e.text} ({e.share:.0%})" for e in member.evidence[:3])
        sample.add_row(f"{member.rank:,}", member.user_id, f"{member.score:.3f}", chance, because)
    console.print("\nMembers from the best to the last:")
    console.print(sample)
    if seen.typical:
        rows = [(t.text, f"{t.audience:.0%}", f"{t.base:.0%}") for t in seen.typical]
        console.print(table("they have more often", "members", "everybody", rows=rows))
    console.print("Scores of everybody who can be chosen:")
    scores, most = seen.histogram, max(seen.histogram.counts)
    for low, high, count in zip(scores.edges, scores.edges[1:], scores.counts, strict=False):
        inside = scores.threshold is not None and high >= scores.threshold
        bar = "█" * max(round(40 * count / max(most, 1)), bool(count))
        console.print(f"  {low:>8.3f} {bar:<40} {count:>7,}{'  members' if inside and count else ''}")
    if seen.curve:
        rows = [
            (f"{p.share:.0%}", f"{p.users:,}", f"{p.precision:.1%}", f"{p.low:.1%} to {p.high:.1%}", f"{p.recall:.1%}")
            for p in seen.curve
        ]
        console.print("\nHad it been asked in a past window:")
        console.print(table("reach", "users", "precision", "95 % interval", "recall", rows=rows))
    if seen.reliability:
        as_text = (lambda value: f"{value:.1%}") if is_chance or is_share else (lambda value: f"{value:,.2f}")
        rows = [(as_text(b.predicted), f"{b.users:,}", as_text(b.observed)) for b in seen.reliability]
        console.print(f"\nWhether the {'chances' if is_chance else f'expected {measure}s'} came true then:")
        console.print(table(f"{measure} that was said", "users", "did it" if is_chance else "came", rows=rows))
    if seen.gini is not None:
        console.print(f"Gini of the ranking: {seen.gini:.2f} of the best there can be.")
    if seen.overlaps:
        rows = [(o.audience, f"{o.size:,}", f"{o.shared:,}", f"{o.jaccard:.2f}") for o in seen.overlaps]
        console.print(table("saved audience", "members", "shared", "Jaccard", rows=rows))
