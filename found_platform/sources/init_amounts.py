"""What the amount of an event is taken from: a total, a price times a quantity, money in hundredths, a measured number.

What belongs here: the choice of a column and the expression that reads it. What does not: what else an entry has (`init_mapping`).
"""

import re
from collections.abc import Mapping

from found_platform.lake import literal
from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import CURRENCY, MOST, Column, plain
from found_platform.sources.init_text import Line, flow

MANY_NEGATIVE = 0.3
"""From this share of negative amounts on they are hardly returns: fewer things are brought back than bought."""
WHOLE = (
    r"amount|total|revenue|value|betrag|umsatz|paid|sum|gross|net$|brutto|netto|montant|importe|importo|valor|"
    r"bedrag|belopp|kwota|金额|总价|金額"
)
HUNDREDTHS = r"(^|_)(cents?|minor(_units?)?|pence|centimes|centimos|centesimi)$"
CODES = (
    r"AED|ARS|AUD|BGN|BHD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KES|KRW|KWD|MAD|MXN|MYR|NGN|"
    r"NOK|NZD|PEN|PHP|PKR|PLN|QAR|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
"""Of currencies, ISO 4217: those that most money is counted in."""
MEASURED = r"consum|usage|verbrauch|reading|energy|energie|menge|volum|duration|dauer|distance|strecke|weight|gewicht|quantit"


def amount_line(rest: Mapping[str, Column]) -> Line | None:
    """The amount of an event and what is asked about it; None where no column holds one."""
    numbers = [c for c in rest.values() if c.is_number and c.time is None and not c.is_called("user")]
    measured, numbers = [c for c in numbers if c.units], [c for c in numbers if not c.units]
    amounts = [c for c in numbers if c.is_called("amount") and not re.search(r"(^|_)id$", plain(c.name))]
    amounts = [c for c in amounts if not c.is_called("no_amount")] or amounts
    quantity = next((c for c in numbers if c.is_called("quantity")), None)
    if quantity is not None:  # a product needs plain numbers
        amounts = [c for c in amounts if not c.money] or amounts
    whole = [c for c in amounts if re.search(WHOLE, plain(c.name))]
    unit = [c for c in amounts if c not in whole]
    negative = (
        "negative ones are read as returns" if any(c.negatives for c in (*amounts, *([quantity] if quantity else []))) else None
    )
    if not whole and unit and quantity and not unit[0].money:
        expression = f"{of_column(quantity.name)} * {_units_of_money(unit[0]) or of_column(unit[0].name)}"
        return Line(
            "amount", expression, negative, (f"is {unit[0].name} the price of one piece? then this is the amount of the line",)
        )
    chosen = (whole or unit or [None])[0]
    if chosen is None:
        return _measured_line(measured)
    others = [c.name for c in amounts if c is not chosen]
    if chosen.money:
        reason = f"a currency stands beside the numbers, as in {chosen.values[0]}"
        # with the point of an abbreviation: `kr. 100` must not become .100
        return Line(
            "amount", _signed(f"regexp_replace({of_column(chosen.name)}, '[A-Za-z]+[.]|[^-0-9.,()]', '', 'g')", chosen), reason
        )
    questions = [f"{', '.join(others)} may be meant instead"] if others and not whole else []
    if chosen.negatives > MANY_NEGATIVE:
        questions.append(
            f"{chosen.negatives:.0%} of the sampled rows have a negative {chosen.name} and would count as returns: where that is "
            f"money going out, write `amount: -{of_column(chosen.name)}` with `types: {{{flow(chosen.name)}: float}}`"
        )
    if chosen.bracketed:
        return Line(
            "amount", _signed(of_column(chosen.name), chosen), "numbers in brackets are negative: returns", tuple(questions)
        )
    if expression := _units_of_money(chosen):
        reason = f"{chosen.name} counts hundredths, as its name says" + (f"; {negative}" if negative else "")
        return Line("amount", expression, reason, tuple(questions))
    return Line("amount", chosen.name, negative, tuple(questions))


def mixed_currencies(columns: Mapping[str, Column], amount: Line) -> str | None:
    """A question about an amount that is written in several currencies, of which no sum means anything; None for any other."""
    for column in columns.values():
        is_amount = isinstance(amount.value, str) and column.name in amount.value
        signs = {sign[0].strip() for value in column.values if (sign := CURRENCY.search(value))} if column.money else set()
        codes = _codes(column)
        if len(named := sorted(codes or (signs if is_amount else ()))) > 1:
            one = f", or `where: {of_column(column.name)} = {literal(named[0])}` takes one" if codes else ""
            return (
                f"{column.name} says {', '.join(named[:3])}{' and more' if len(named) > 3 else ''}, and amounts of several "
                f"currencies are summed as they stand: an expression with CASE brings them to one{one}"
            )
    return None


def _codes(column: Column) -> set[str]:
    """The codes of currencies that a column holds; nothing where it holds other things."""
    codes = [value.upper() for value in column.values if re.fullmatch(CODES, value, re.IGNORECASE)]
    return set(codes) if len(codes) >= MOST * len(column.values) else set()


def _signed(expression: str, column: Column) -> str:
    """The expression with a sign for brackets, where the sample has them: elsewhere such a row is bad, and never a purchase."""
    return f"replace(replace({expression}, '(', '-'), ')', '')" if column.bracketed else expression


def _units_of_money(column: Column) -> str | None:
    """The expression for money that is counted in cents; None for any other column."""
    is_whole = all(re.fullmatch(r"[+-]?\d+([.]0+)?", value) for value in column.values)
    return f"{of_column(column.name)} / 100.0" if is_whole and re.search(HUNDREDTHS, plain(column.name)) else None


def _measured_line(columns: list[Column]) -> Line | None:
    """The amount of rows that say no money: what was measured, in its one unit, with a question."""
    for column in columns:
        if len(column.units) == 1 and (column.is_called("amount") or re.search(MEASURED, plain(column.name))):
            question = (
                f"{column.name} is measured in {column.units[0]}: is that the amount? sums of it then stand where others have "
                "money; else take this line out"
            )
            number = f"regexp_extract({of_column(column.name)}, '[-+]?[0-9.,]*[0-9]')"
            return Line("amount", number, f"as in {column.values[0]}", (question,))
    return None


def mixed_units(columns: Mapping[str, Column]) -> str | None:
    """A question about amounts in several units, of which no sum means anything; None where there are none."""
    for column in columns.values():
        if len(column.units) > 1 and (column.is_called("amount") or re.search(MEASURED, plain(column.name))):
            return (
                f"{column.name} is written in {' and '.join(column.units)}, and is no amount as it stands: an expression with CASE "
                "that brings them to one unit would be (docs/sources.md, Columns)"
            )
    return None
