"""Where tables of the lake are computed: in this process by DuckDB, or by an engine of many machines that speaks Spark Connect.

What belongs here: the two engines behind one interface, what is checked before a long run. What does not: what any table's rows are
(`features`, `training_data`: Ibis expressions, the same for both), Delta tables in general (`lake`).

A row has the same bits whoever computed it, and so the same hash: a home may change engines, and nothing is stale.
"""

from found_platform.engine.checks import check
from found_platform.engine.interface import Engine, Query, sql_of, table_of
from found_platform.settings import Settings

__all__ = ["Engine", "Query", "check", "of", "sql_of", "table_of"]


def of(settings: Settings) -> Engine:
    """The engine that the setting `engine` names, opened; whoever opens it closes it.

    Raises BadInput where what it needs is not installed, or nothing answers at its address.
    """
    if settings.engine == "duckdb":
        from found_platform.engine.duck import DuckDB

        return DuckDB(settings)
    from found_platform.engine.spark_connect import SparkConnect

    return SparkConnect(settings)
