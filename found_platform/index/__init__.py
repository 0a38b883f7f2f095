"""The vector index: published blue/green to Milvus, searched in what the pointer names, taken back with one call.

`pointer` says what is live; `collection`, `milvus` and `milvus_server` know the vector database, embedded or on a server; `states`
are what is published beside the vectors, `past` the events among them, and `snapshot` the files they are mapped from; `publishing`
builds, checks and swaps; `recall` measures how much of the exact answer an index finds; `searcher` keeps an index open; `champion`
moves the model with its index. All of it can be built again from Delta.
"""

from found_platform.index.collection import IndexBusy
from found_platform.index.pointer import Publication, live, withdrawn
from found_platform.index.publishing import is_live, publish, rollback
from found_platform.index.recall import RECALL
from found_platform.index.searcher import MAX_LIMIT, Searcher, search
from found_platform.index.states import attributes, filter_columns

__all__ = [
    "MAX_LIMIT",
    "RECALL",
    "IndexBusy",
    "Publication",
    "Searcher",
    "attributes",
    "filter_columns",
    "is_live",
    "live",
    "publish",
    "rollback",
    "search",
    "withdrawn",
]
