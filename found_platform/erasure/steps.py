"""The steps of an erasure, in their order: each rewrites one kind of store, and each can be done again.

What belongs here: the registry. A new kind of store gets a step; the proof fails while it has none. A step returns counts by the
name of what it rewrote, never a name of a person.
"""

import shutil
from collections.abc import Callable

from found_platform.audiences import membership
from found_platform.erasure import exported, files, lake_tables, ledger, published, records, servers
from found_platform.erasure.persons import Persons
from found_platform.privacy import keys, tombstones, vault
from found_platform.settings import Settings
from found_platform.sources import erased, folders, staging

Step = Callable[[Settings, Persons], dict[str, int]]


def _tombstones(settings: Settings, persons: Persons) -> dict[str, int]:
    """From here on nobody is answered about them, also by processes that run already."""
    tombstones.add(settings, keys.home_secret(settings), persons.keys)
    return {"tombstones": len(persons.keys)}


def _ledger(settings: Settings, persons: Persons) -> dict[str, int]:
    """What has learned from them, while the lake still says so."""
    return {f"noted {kind}": len(names) for kind, names in ledger.note(settings, persons).items()}


def _waiting_scans(settings: Settings, _: Persons) -> dict[str, int]:
    """A scan that waits to be staged is thrown away: the next one leaves them out."""
    with folders.turn(settings):
        scans = [folder for folder in (folders.work(settings), settings.home / "staging.old") if folder.exists()]
        for folder in scans:
            shutil.rmtree(folder)
    return {"waiting scans": len(scans)}


def _lake(settings: Settings, persons: Persons) -> dict[str, int]:
    """Audiences say how many they have: afterwards, how many are left."""
    counts = lake_tables.remove_of_every_table(settings, persons)
    membership.recount(settings)
    return counts


def _texts(settings: Settings, _: Persons) -> dict[str, int]:
    """What nobody else ever said or bought on a day goes with them."""
    return {"behavior_text": lake_tables.remove_texts(settings)}


def _staging(settings: Settings, persons: Persons) -> dict[str, int]:
    return {"staging": erased.leave_out_of_staging(settings, persons.keys)}


def _vault(settings: Settings, persons: Persons) -> dict[str, int]:
    count = vault.count(settings, sorted(persons.keys))
    vault.remove(settings, sorted(persons.keys))
    return {"vault": count}


def _files(settings: Settings, persons: Persons) -> dict[str, int]:
    """Everything else that lies in the home; a source that was copied into it counts as the same afterwards."""
    same = folders.is_staged(settings) and folders.manifest(settings)["fingerprint"] == staging.source_fingerprint(settings)
    changed = files.clean_all(settings, persons)
    if same:
        folders.note_fingerprint(settings, staging.source_fingerprint(settings))
    counts: dict[str, int] = {}
    for path, count in changed.items():  # by folder: a file's own name may say too much, and there are many
        place = path.rpartition("/")[0] or path
        counts[place] = counts.get(place, 0) + count
    return counts


def _artifacts(settings: Settings, persons: Persons) -> dict[str, int]:
    """In the home they are files as others."""
    return {"files of MLflow on object storage": servers.clean_artifacts(settings, persons)}


def _exports(settings: Settings, persons: Persons) -> dict[str, int]:
    return {"exports outside the home": exported.clean(settings, persons)}


def _records(settings: Settings, persons: Persons) -> dict[str, int]:
    return {"records in PostgreSQL": records.clean(settings, persons)}


def _online_store(settings: Settings, persons: Persons) -> dict[str, int]:
    """In the home it is one of the files."""
    return {"online store in Redis": servers.clean_redis(settings, persons)}


def _training_files(settings: Settings, _: Persons) -> dict[str, int]:
    """Rows of the training set as a trainer reads them name nobody, and are theirs all the same. Training writes them anew."""
    data = [*settings.home.glob("training/*/data"), *settings.home.glob("training/*/data.partial")]
    for folder in data:
        shutil.rmtree(folder)
    return {"training files": len(data)}


def _index(settings: Settings, persons: Persons) -> dict[str, int]:
    return {"index": published.rebuild(settings, persons)}


def _past(settings: Settings, _: Persons) -> dict[str, int]:
    """Last of all: whoever read an older version has had time to end."""
    return {"older versions of tables": lake_tables.forget_past(settings)}


def _settled(settings: Settings, _: Persons) -> dict[str, int]:
    tombstones.settle(settings)
    return {}


STEPS: dict[str, Step] = {
    "tombstones": _tombstones,
    "ledger": _ledger,
    "waiting scans": _waiting_scans,
    "lake": _lake,
    "texts": _texts,
    "staging": _staging,
    "vault": _vault,
    "exports": _exports,
    "files": _files,
    "artifacts": _artifacts,
    "records": _records,
    "online store": _online_store,
    "training files": _training_files,
    "index": _index,
    "older versions": _past,
    "settled tombstones": _settled,
}
"""By name, in order. The index is built from the lake, so it comes after it; the list of exports is one of the files."""
