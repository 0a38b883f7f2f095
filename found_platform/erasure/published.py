"""The published index and its snapshot without persons: built anew from the lake, swapped in, with nothing to roll back to."""

import datetime as dt
import shutil
import time

from found_platform import home
from found_platform.erasure import proof
from found_platform.erasure.persons import Persons
from found_platform.errors import BadInput, JobFailed
from found_platform.index import IndexBusy, imports, milvus, pointer, publishing, snapshot
from found_platform.settings import Settings

WAIT_SECONDS = 5.0
"""For whoever reads the old index; a look-up takes less. Who keeps the files open reads them to the end though they are gone."""


def rebuild(settings: Settings, persons: Persons) -> int:
    """Publishes the live model and day anew where anything of the index names a person; returns how many files and collections did.

    Files that a killed publication left for a server to import go first. Raises JobFailed where they cannot, or where it cannot be
    published; what was before stays, and the tombstones keep persons out of every answer.
    """
    clear_imports(settings)
    folder = settings.home / "index"
    hits = proof.search(folder, persons).hits if folder.exists() else []
    hits += _collections_with(settings, persons)[0]
    if not hits:
        return 0
    if pointer.exists(settings):
        live = pointer.live(settings)
        try:
            live = publishing.publish(settings, live.model_version, dt.date.fromisoformat(live.as_of), forgets=True)
        except BadInput as error:
            raise JobFailed(f"The index cannot be built anew without the erased users: {error}") from None
        _remove_others(settings, live.name)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        milvus.store(settings).keep(set())
    return len(hits)


def clear_imports(settings: Settings) -> None:
    """Removes what a killed publication left for a server to import; files of one that is at work go with its end."""
    if (files := imports.of(settings)) is not None:
        with home.lock(settings.home, publishing.LOCK):
            files.clear()


def search(settings: Settings, persons: Persons, result: proof.Search) -> None:
    """Looks for persons in the collections of a server, and for files that it should have imported; those of the home itself are
    files."""
    hits, count = _collections_with(settings, persons)
    if count:
        result.saw("collections in Milvus", count)
    result.hits += [f"the collection {name} of the Milvus server" for name in hits]
    if (files := imports.of(settings)) is not None:
        result.hits += [f"{files.place}/{name} for the Milvus server" for name, _ in files.left()]


def _collections_with(settings: Settings, persons: Persons) -> tuple[list[str], int]:
    """The collections on a server that hold any of the persons, and how many were asked. Raises JobFailed without an answer."""
    server = milvus.server(settings)
    try:
        return server.holding(persons.keys) if server else ([], 0)
    except IndexBusy as error:
        raise JobFailed(f"{error}: {server.place if server else ''}. Look at FOUND_MILVUS_URI, then run this again.") from None


def _remove_others(settings: Settings, name: str) -> None:
    """Removes every other publication: at first as `milvus` does, which waits for readers, then also under their eyes."""
    store = milvus.store(settings)
    end = time.monotonic() + WAIT_SECONDS
    others = [path for path in (settings.home / "index").glob("*.db") if path.name != name]
    while others and time.monotonic() < end:
        store.keep({name})
        others = [path for path in others if path.exists()]
        time.sleep(0.1 if others else 0)
    for path in others:
        shutil.rmtree(path, ignore_errors=True)
    store.keep({name})
    snapshot.keep(settings, {name})
