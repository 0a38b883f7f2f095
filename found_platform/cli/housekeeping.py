"""`found gc`, `found doctor`, `found backup`, `found restore`, `found move-database`, `found move-lake`, `found records`: a home
kept in order."""

from pathlib import Path
from typing import Annotated

import typer

from found_platform.cli.asking import ask, home_option
from found_platform.cli.options import Force, Place
from found_platform.cli.tables import print_json, table, terminal

MEGABYTE = 1e6


def gc(
    place: Place, dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False
) -> None:
    """Remove what is old and asked for by nothing: runs, ticks, earlier versions, what models out of service left."""
    from found_platform.app import housekeeping

    collection = ask(housekeeping.collect, place.home, housekeeping.Collect(dry_run))
    if place.as_json:
        print_json(collection)
        return
    console = terminal()
    rows = [
        (k.kind, k.about, f"{k.pieces:,}", f"{k.in_use:,}", f"{k.before / MEGABYTE:,.1f}", f"{k.after / MEGABYTE:,.1f}")
        for k in collection.kinds
    ]
    goes = "would go" if dry_run else "gone"
    console.print(
        table("kind", "what goes", goes, "in use", "MB", "after", left=("kind", "what goes"), wrap="what goes", rows=rows)
    )
    before, after = (f"{size / MEGABYTE:,.1f} MB" for size in (collection.before, collection.after))
    if not any(k.pieces for k in collection.kinds):
        console.print(f"Nothing is old enough to go: the home has {before}.")
    elif dry_run:
        console.print(f"The home would shrink from {before} to {after}.")
    else:
        console.print(f"The home had {before}, and has {after} now.")


def doctor(place: Place) -> None:
    """Look for what is wrong with a home, each with its fix. Exit status 1 where anything is."""
    from found_platform.app import operations

    diagnosis = ask(operations.diagnose, place.home)
    if place.as_json:
        print_json(diagnosis)
    else:
        for finding in diagnosis.findings:
            print(f"{finding.check}: {finding.problem}.\n    {finding.fix[:1].upper()}{finding.fix[1:].rstrip('.')}.")
        wrong = {finding.check for finding in diagnosis.findings}
        print(f"In order: {', '.join(name for name in diagnosis.looked_at if name not in wrong)}.")
    if diagnosis.findings:
        raise typer.Exit(1)


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder, or an archive: .tar, .tar.gz or .tgz.")],
    place: Place,
) -> None:
    """Copy the home, whole or not at all, while others work in it."""
    from found_platform.app import housekeeping

    copy = ask(housekeeping.back_up, place.home, target)
    if place.as_json:
        print_json(copy)
        return
    print(f"{copy.files:,} files, {copy.bytes / MEGABYTE:,.1f} MB, as of {copy.made_at}, are in {copy.place}.")
    for link in copy.links:
        print(f"Left out: {link} is a link, and what it points at is not copied.")
    if copy.index_elsewhere:
        print("Left out: the index lies on a Milvus server; `found publish` builds it again from the copy.")
    if copy.features_elsewhere:
        print("Left out: the newest features lie in Redis; `found demo` fills it again from the copy.")
    if copy.schemas:
        dump = " ".join(f"-n {schema}" for schema in copy.schemas)
        print("Left out: runs, models and audit lie in PostgreSQL. Dump them now:")
        print(f'    pg_dump {dump} -f RECORDS.sql "$FOUND_DATABASE_URL"')
    print("It holds the vault and the secret of the home: keep it as private as the home.")


def restore(
    source: Annotated[Path, typer.Argument(help="A backup: a folder or an archive.")],
    place: Place,
    since: Annotated[
        Path | None, typer.Option(help="The home that it replaces: who was erased or suppressed since stays so.")
    ] = None,
) -> None:
    """Bring a backup back as a new home, every file checked."""
    from found_platform.app import housekeeping

    restored = ask(housekeeping.restore, place.home, housekeeping.Restore(source, since))
    if place.as_json:
        print_json(restored)
        return
    files = f"{restored.files:,} files, {restored.bytes / MEGABYTE:,.1f} MB"
    print(f"{files}, as of {restored.made_at}, are the home {restored.home}; every hash is right.")
    if restored.erased is None:
        print(
            f"Whoever was erased or suppressed after {restored.made_at} is in it as before: erase them again, or restore with "
            "`--since OLD_HOME`, which needs `erasures/`, `holds.json`, `retention.json` and `lake/suppressions` (or `lake.json`) "
            "of it alone."
        )
    else:
        end = "" if restored.missing else ": both hold"
        print(
            f"Since then {restored.erased:,} users were erased, and {restored.suppressed:,} entries of suppression made, as far as "
            f"{since} says{end}."
        )
    if restored.missing:
        print(
            f"{since} has no {', no '.join(restored.missing)}: what was entered of these after {restored.made_at} is not in the "
            "home. Restore again with a folder that has it, or enter it again before anybody is targeted."
        )
    print(f"Look at it: found doctor{home_option(place.home)}")


def move_database(place: Place) -> None:
    """Move runs, models and audit from the home's files to FOUND_DATABASE_URL, all or nothing."""
    from found_platform.app import database

    moved = ask(database.move, place.home)
    if place.as_json:
        print_json(moved)
        return
    if not moved.rows:
        print(f"{moved.place} has the records of this home already.")
        return
    for store, tables in moved.rows.items():
        print(f"{store}: {sum(tables.values()):,} rows of {len(tables)} tables")
    print(f"{moved.place} has the records of this home from now on: every command and server needs FOUND_DATABASE_URL.")
    print(f"The files from before lie in {moved.aside}: remove them when all is in order.")


def move_lake(place: Place) -> None:
    """Move the tables of the lake from the home's files to FOUND_LAKE_URI, all or nothing."""
    from found_platform.app import database

    moved = ask(database.move_lake, place.home)
    if place.as_json:
        print_json(moved)
        return
    if not moved.files:
        print(f"The lake of this home lies at {moved.place} already.")
        return
    print(
        f"{moved.files:,} files, {moved.bytes / MEGABYTE:,.1f} MB, each read back, lie at {moved.place}; those of before are gone."
    )
    print("The home keeps the address. Every command and server needs the credentials, such as AWS_ACCESS_KEY_ID.")


def records(
    place: Place,
    out: Annotated[Path | None, typer.Option(help="A page that reads by itself (.html).")] = None,
    force: Force = False,
) -> None:
    """Write the record of processing (GDPR, article 30), as the home knows it."""
    from found_platform.app import records as recording

    record = ask(recording.records, place.home, recording.Page(out, force))
    if place.as_json:
        print_json(record)
        return
    rows = [(held.table, f"{held.persons:,}", f"{held.rows:,}", held.first, held.last) for held in record.tables]
    console = terminal()
    console.print(table("table", "persons", "rows", "from", "to", left=("table", "from", "to"), rows=rows))
    places = ", ".join(f"{place.name} ({place.deliveries:,} deliveries)" for place in record.recipients) or "none"
    console.print(f"Recipients: {places}; exports to files: {record.exports:,}; persons erased: {record.erased:,}.", soft_wrap=True)
    if out is not None:
        console.print(f"Written: {out}", soft_wrap=True)
