"""The vector index: published blue/green to Milvus, searched in what the pointer names, taken back with one call.

`pointer` says what is live; `milvus` is the one place that knows the vector database, embedded or on a server; `publishing`
builds, audits and swaps; `audit` measures recall; `searcher` keeps an index open; `champion` moves the model with its index. The
index can always be rebuilt from Delta.
"""

from found_platform.index.audit import RECALL
from found_platform.index.milvus import IndexBusy
from found_platform.index.pointer import Publication, live, withdrawn
from found_platform.index.publishing import attributes, filter_columns, is_live, publish, rollback
from found_platform.index.searcher import MAX_LIMIT, Searcher, search

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
