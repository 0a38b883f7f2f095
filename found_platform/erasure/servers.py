"""What a home keeps on servers, without persons: the newest features in Redis, MLflow's files on object storage. And the search of
all that lies outside the home.

What belongs here: `search`, which is the proof over the home, every server and the objects of the lake; Redis, and MLflow's files.
PostgreSQL has `records`, Milvus `published`.
"""

from found_platform import objects, spill, tenancy
from found_platform.erasure import files, proof, published, records
from found_platform.erasure.persons import Persons
from found_platform.feature_store import online_redis
from found_platform.index import imports, milvus
from found_platform.lake_place import Away
from found_platform.privacy import exports
from found_platform.registry import artifacts
from found_platform.settings import Settings

NOT_COVERED = {
    "database_url": "the write-ahead log of the PostgreSQL server, its standbys and its backups",
    "redis_url": "the append-only file and snapshots of the Redis server until it writes them anew, its replicas and backups",
    "milvus_uri": "what the Milvus server has dropped until it frees it, and its backups",
}
OF_A_BUCKET = "earlier versions of objects and parts of broken uploads, where the bucket keeps them, its replicas and backups"
"""By setting: what nobody can prove of a server."""


def check_all_reached(settings: Settings) -> None:
    """Raises BadInput where users of this home lie on a server that no setting names: nobody could say that they are gone."""
    server, redis = milvus.server(settings), online_redis.of(settings)
    tenancy.check_all_reached(
        settings.home,
        {
            tenancy.MILVUS: server and server.place,
            tenancy.REDIS: redis.place if redis else None,
            tenancy.LAKE: str(settings.lake),
            tenancy.IMPORTS: files_of_imports.place if (files_of_imports := imports.of(settings)) else None,
        },
    )


def clean_redis(settings: Settings, persons: Persons) -> int:
    """Removes persons from the online store in Redis; returns how many went."""
    redis = online_redis.of(settings)
    return redis.leave_out(persons.needles.among) if redis else 0


def clean_artifacts(settings: Settings, persons: Persons) -> int:
    """Writes the files of MLflow on object storage anew without persons; returns how many names went."""
    if (away := artifacts.store(settings)) is None:
        return 0
    store, count = objects.filesystem(away), 0
    with spill.scratch(settings.home / "tmp") as folder:
        for info in objects.files(away):
            copy = folder / info.base_name
            objects.fetch(store, info.path, copy)
            if names := files.clean(copy, info.path, persons):
                count += names
                with copy.open("rb") as cleaned, objects.reached(away):
                    objects.put(away, info.path, cleaned)
            copy.unlink()
    return count


def search(settings: Settings, persons: Persons) -> proof.Search:
    """Searches every byte of a home, of exports that are still where they were put, and all of it that lies on servers."""
    result = proof.search(settings.home, persons, [export.path for export in exports.outside(settings)])
    records.search(settings, persons, result)
    if (redis := online_redis.of(settings)) is not None:
        for key, values in redis.users():
            result.saw("users in Redis")
            result.bytes += sum(len(value) for value in values.values())
            if persons.needles.among(key) or any(map(persons.needles.among, values.values())):
                result.hits.append(f"the Redis database {redis.place}")
                break
    published.search(settings, persons, result)
    _search_objects(settings, persons, result)
    return result


def _search_objects(settings: Settings, persons: Persons, result: proof.Search) -> None:
    """Every object of a lake on object storage, each as a file that lies in the home for so long."""
    if not isinstance(settings.lake, Away):
        return
    store = objects.filesystem(settings.lake)
    with spill.scratch(settings.home / "tmp") as folder:
        for info in objects.files(settings.lake):
            copy = folder / info.base_name
            objects.fetch(store, info.path, copy)
            proof.look(copy, f"{settings.lake}/{info.path}", persons, result)
            copy.unlink()
            result.saw("objects of the lake")


def not_covered(settings: Settings) -> list[str]:
    """What of the servers of a home is not proved."""
    words = [words for name, words in NOT_COVERED.items() if getattr(settings, name)]
    return [*words, OF_A_BUCKET] if isinstance(settings.lake, Away) else words
