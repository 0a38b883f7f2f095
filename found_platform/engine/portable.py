"""What engines compute in different ways, said so that all of them give the same bits.

What belongs here: expressions for which one engine's own function differs from another's. What does not: what a table's rows are
(`features`).

- Times are integer microseconds: casts of a time round its fraction, up in one engine and down in another.
- Amounts are added up as decimals: a sum of floats depends on the order in which workers add, and engines round a half up or down.
- A bucket is found by comparisons: logarithms of engines differ beside powers of two.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportReturnType=false
# pyright: reportCallIssue=false
# (an Ibis column's type is known only at run time)

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from found_platform.contract import MAX_AMOUNT

EXACT = "decimal(38, 6)"
"""The type in which amounts are added up: what has entered a window and left it again leaves nothing behind."""

LAST_BUCKET = MAX_AMOUNT.bit_length() - 1
"""That of the largest amounts that a source may hold."""


@ibis.udf.scalar.builtin(name="unix_micros")
def microseconds(time: dt.Timestamp("UTC")) -> int:  # pyright: ignore[reportInvalidTypeForm]
    """Microseconds since 1970 in UTC: Spark's function of this name, which is `epoch_us` in DuckDB."""
    ...


def bucket(amount: ir.FloatingColumn) -> ir.IntegerColumn:
    """floor(log2(1 + |amount|)), and -1 without an amount."""
    size = amount.abs() + 1
    powers = ((size < 2 ** (k + 1), k) for k in range(LAST_BUCKET))
    return ibis.cases((amount.isnull(), -1), *powers, else_=LAST_BUCKET).cast("int64")


def exact(amount: ir.FloatingColumn) -> ir.DecimalColumn:
    """An amount as a decimal, to be added up: half a millionth away from zero.

    Its whole part and the rest are cast apart. Casts of a float differ beyond 2^53 millionths: Spark takes the shortest decimal
    that is this float, and DuckDB and Sail multiply, which rounds.
    """
    size = amount.abs()
    whole = size.floor().cast("int64")
    millionths = ((size - whole.cast("float64")) * 1_000_000 + 0.5).floor().cast("int64")
    total = whole.cast(EXACT) + (millionths.cast("float64") / 1_000_000).cast(EXACT)
    return ibis.ifelse(amount < 0, -total, total).cast(EXACT)


def cents(total: ir.DecimalColumn) -> ir.FloatingColumn:
    """A sum of amounts with two decimals, halves away from zero.

    By way of a whole number of cents, which every engine turns into the same float; beyond 64 bits a last bit may differ.
    """
    whole = (total.cast("decimal(30, 2)") * 100).try_cast("int64")
    return (whole.cast("float64") / 100.0).fill_null(total.cast("float64"))
