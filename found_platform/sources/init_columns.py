"""What a column of unknown files is likely to be, judged by its name and by a sample of its values.

What belongs here: the signs of times, ids, texts, amounts and the like, and how sure they are. What does not: how columns of
several files make a source (`init_guess`).
"""

import contextlib
import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from found_platform.sources.init_sample import Table
from found_platform.sources.options import NULLS

NAMES = {
    "user": r"user|customer|client|visitor|member|account|shopper|buyer|person|profile|distinct|e_?mail|household|donor|patient|"
    r"subscriber|student|patron|passenger|player|reader|viewer|listener|guest|msisdn|(^|_)uid$|kunde|(^|_)kd(_|$)|nutzer|mitglied|"
    r"debitor|acheteur|cliente|comprador|(^|_)(actor|rider|driver|requester|gast|iban)(_|$)|participant|teilnehmer|cardholder|"
    r"policy_?holder|karteninhaber|applicant|borrower|learner|attendee|versicherte|konto_?(nr|no|nummer|inhaber)|"
    r"loyalty_?(card|id|no|nr|number)|(^|_)insured(_(id|no|nr))?$|"
    r"usuario|utente|acquirente|klant|klient|(^|_)kund(_?(id|nr|nummer))?$|caller|recipient|empf(a|ae)nger|destinatari|"
    r"用户|客户|会员|买家|顾客|顧客|会員",
    "firm": r"^(workspace|tenant|mandant|organi[sz]ation|org|company|firm|firma|business|team)(_?(id|key|no|nr|uuid|number))?$",
    "thing": r"item|product|article|artikel|sku|asin|isbn|ean|movie|order|invoice|session|event|transaction|message|insert|visit|"
    r"campaign|store|shop|branch|site|categor|payment|device|basket|cart|receipt|line|page|ticket|parent|batch|request|bestell|"
    r"rechnung|commande|pedido|coupon|promo|currency|warehouse|supplier|vendor|employee|agent|country|region|city|zip|postal",
    "time": r"time|date|datum|zeit|fecha|\bat\b|_at$|created|placed|ordered|purchase|booked|reserved|"
    r"requested|submitted|when|(^|_)(ts|dt)(_|$)|day|tag$|jour|giorno|(^|_)data(_|$)|时间|日期|日時|日付",
    "arrived": r"receiv|arrived|arrival_(at|ts|time)|load|ingest|upload|insert|sync|export|"
    r"server_upload|processed|modified|updated",
    "text": r"name|title|description|item|produ[ck]t|article|artikel|articulo|articolo|produit|page|query|search|text|merchant|"
    r"service|leistung|treatment|behandlung|message$|zweck|subject|url|screen|track|what|libelle|designation|descrip|nom(bre|e)?$|omschrijving|produto|nazwa|名称|商品|标题|关键词",
    "best_text": r"name|title|desc|bezeichnung|designation|libelle|nombre|headline|subject|omschrijving|nazwa|名称|商品名|标题",
    "person": r"first_?name|last_?name|full_?name|user_?name|customer_?name|street|city|phone|country|first|last",
    "search": r"query|search|keyword|term|(^|_)q$",
    "amount": r"amount|total|price|revenue|value|betrag|umsatz|preis|paid|sum|sales|cost|gross|net$|brutto|netto|charge|"
    r"fare|honorar|entgelt|spen[dt]|donation|cents$|montant|"
    r"prix|importe|precio|valor|importo|prezzo|bedrag|prijs|belopp|bel(o|oe)?b|kwota|cena|preco|金额|价格|总价|金額",
    "no_amount": r"shipping|versand|postage|freight|delivery|tax|(^|_)vat|mwst|steuer|discount|rabatt|(^|_)fees?(_|$)|gebu(e)?hr|"
    r"(^|_)tips?(_|$)|refunded|balance|saldo|commission",
    "zone": r"time_?zone|tz|zeitzone|utc_?offset",
    "quantity": r"quantity|qty|menge|anzahl|quantit|qte|cantidad|aantal|antal|ilosc|数量|units?$|count",
    "category": r"categor|kategorie|rubrik|topic|thema|department|genre|group|class|"
    r"类目|分类|品类|warengruppe|section|type|brand|vendor",
    "status": r"status|state|statut|estado|stato|状态|状態|ステータス|outcome|disposition|"
    r"(^|_)stage$|(^|_)(result|response|ergebnis)$",
    "returned": r"retour|return|refund|storn|ruecke?(gabe|sendung)|ruck(gabe|sendung)|cancel|chargeback|revers|rembours|devol",
    "payment": r"payment|zahlungsart|pay_method|gateway",
    "event_id": r"event_?id|message_?id|insert_?id|uuid|transaction_?id|order_?id|invoice|line_?id|\bid$|order_?n|bestell|position",
    "deleted": r"^(is_|was_|has_been_)?(deleted|removed|voided|geloescht|supprime|eliminado|cancellato|test)"
    r"(_(at|on|date|flag|order|event))?$",
    "kind": r"^ev(en)?t$|ev(en)?t_?(type|name)|action|activity|^type$|kind|^channel$",
    "consent": r"consent|opt_?in|accepts|marketing|newsletter|subscri|permission|einwillig|agree",
    "as_of": r"as_of|updated|modified|valid_from|snapshot|effective|gu(e)?ltig_(ab|von|seit)",
    "valid_from": r"as_of|valid_(from|since)|effective_(from|date|since)|gu(e)?ltig_(ab|von|seit)|valido_desde|valable_depuis",
}
"""Words in the name of a column that speak for a meaning, with signs between words as underscores and letters without accents."""

PURCHASES = re.compile(r"purchas|order|buy|bought|transaction|paid|checkout.?complet|payment|sale|kauf", re.IGNORECASE)
NO_PURCHASES = re.compile(r"view|refund|cancel|abandon|start|search|click|add", re.IGNORECASE)
SEARCHES = re.compile(r"search", re.IGNORECASE)

EXPOSURES = re.compile(r"campaign|mailing|mailer|newsletter|push|impression|(^|_| )(sent|received|delivered)", re.IGNORECASE)
"""Kinds of events that are done to a person."""

YES = ("yes", "true", "y", "1", "subscribed", "opted_in", "opted in", "opt_in", "ja", "granted", "agreed", "on")
NO = (
    "no",
    "false",
    "n",
    "0",
    "unsubscribed",
    "never_subscribed",
    "never subscribed",
    "opted_out",
    "opt_out",
    "nein",
    "denied",
    "off",
)

NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d+)?")
COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}([. ]\d{3})+|\d+),\d+")
POINT_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+([.]\d+)?")
CURRENCY = re.compile(r"\s*(?:[A-Z]{0,3}[$€£¥₹₽₩₺₫฿]|\b[A-Z]{3}\b|\bkr\b\.?|zł|\bFr\.)\s*")
"""A currency beside a number, by its sign or its three letters."""
MONEY = re.compile(rf"^[+-]?{CURRENCY.pattern}[+-]?\d|\d{CURRENCY.pattern}$")
BRACKETED = re.compile(r"\([^()]*\d[^()]*\)")
"""A negative number as accountants write it."""
MEASURE = re.compile(
    r"([+-]?[\d.,]*\d)\s*([kMGT]?Wh|[kM]?W|kg|g|mg|lbs?|oz|m?l|gal|[km]?m[²³23]?|cm|mi|mins?|hrs?|h|secs?|s|ms|[kKMGT]?i?B|°?[CF]|%|kcal|bpm|pcs|[Ss]tk)[.]?"
)
"""A number with the unit that it is measured in."""
ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?", re.IGNORECASE)
DAYS = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})([ T,]+\d{1,2}:\d{2}(:\d{2}([.]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?)?")
HEX = re.compile(r"[0-9a-fA-F-]{16,}")
EPOCHS = {"s": (6e8, 4e9), "ms": (6e11, 4e12), "us": (6e14, 4e15), "ns": (6e17, 4e18)}
"""Numbers that are times between 1989 and 2096, by their unit."""
EXCEL = (25_000, 60_000)
FORMATS = (
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d/%b/%Y",
    "%Y%m%d",
    "%Y/%m/%d",
    "%a, %d %b %Y",
)
DIGITS = {"%Y%m%d%H%M%S": r"(19|20)\d{12}", "%Y%m%d%H%M": r"(19|20)\d{10}"}
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ":%H:%M:%S", "T%H:%M:%S", ", %I:%M %p")

MOST = 0.9
"""Share of the sampled values that must look alike: bad rows are no reason to miss a column."""


@dataclass(frozen=True)
class Time:
    """How a column of times is written: the options of an entry, what says so, and what is not sure."""

    options: dict[str, Any]
    reason: str
    question: str | None = None
    zoned: bool = True  # whether its values say their zone, or need none
    clock: bool = True  # whether it has a time of day


@dataclass(frozen=True)
class Column:
    """A column of a table and what its sample says."""

    name: str
    values: tuple[str, ...]  # without empty cells and placeholders
    filled: float  # share of the rows
    distinct: int
    numbers: float  # share of values that are numbers
    comma: bool  # whether numbers have a decimal comma
    letters: float  # share of values with words in them
    negatives: float
    time: Time | None
    is_typed_number: bool
    groups: bool = False  # whether numbers have commas between thousands, as in 1,234.50
    money: bool = False  # whether a currency stands beside the numbers
    bracketed: bool = False  # whether some numbers are negative by brackets, as in (50.00)
    units: tuple[str, ...] = ()  # what stands behind the numbers, as in 12.5 kWh
    path: str = ""  # of a field that a query names anew: what it is called in the file

    @property
    def plain(self) -> str:
        """What the file calls it, in plain words."""
        return plain(self.path or self.name)

    @property
    def unique(self) -> bool:
        return self.distinct == len(self.values) > 1

    @property
    def is_number(self) -> bool:
        return self.numbers >= MOST

    @property
    def has_words(self) -> bool:
        return self.letters >= 0.5 and not {value.lower() for value in self.values} <= {"true", "false"}

    @property
    def is_code(self) -> bool:
        """Whether its values are one word with a digit in it each: article numbers, not names."""
        coded = sum(any(sign.isdigit() for sign in value) and " " not in value for value in self.values)
        return coded >= MOST * max(len(self.values), 1)

    def is_called(self, meaning: str) -> bool:
        """Whether the name speaks for a meaning."""
        return re.search(NAMES[meaning], self.plain) is not None


def plain(name: str) -> str:
    """A name in lower case with underscores between its words; of a nested field its last part, two where one says too little."""
    steps = re.split(r"(?<=\w)[.](?=\w)", name)  # the point of an abbreviation, as in `Cust. No.`, parts nothing
    last = "_".join(steps[-2:]) if steps[-1].lower() in ("id", "name", "key", "value", "title", "type", "email") else steps[-1]
    last = "".join(sign for sign in unicodedata.normalize("NFKD", last) if not unicodedata.combining(sign))
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last)
    return re.sub(r"\W+", "_", parts.strip()).lower().strip("_")


def columns_of(table: Table) -> dict[str, Column]:
    """Every column of a table that holds plain values."""
    paths = table.paths
    return {
        name: replace(_column(paths.get(name, name), values, table.types.get(name)), name=name, path=paths.get(name, ""))
        for name, values in table.columns.items()
    }


def _column(name: str, values: Sequence[str | None], kind: str | None) -> Column:
    present = tuple(v.strip() for v in values if v is not None and v.strip() and v.strip() not in NULLS)
    count = max(len(present), 1)
    original = present
    present = tuple(f"-{v[1:-1]}" if BRACKETED.fullmatch(v) else v for v in present)
    money = sum(MONEY.search(v) is not None and _is_number(CURRENCY.sub("", v)) for v in present) >= MOST * count and bool(present)
    present = tuple(CURRENCY.sub("", v) for v in present) if money else present
    measures = [MEASURE.fullmatch(v) for v in present]
    measured = bool(present) and sum(m is not None and _is_number(m[1]) for m in measures) >= MOST * count
    present = tuple(m[1] if m else v for m, v in zip(measures, present, strict=True)) if measured else present
    commas = sum(COMMA_NUMBER.fullmatch(v) is not None for v in present)
    numbers = commas + sum(NUMBER.fullmatch(v) is not None or POINT_GROUPS.fullmatch(v) is not None for v in present)
    return Column(
        name=name,
        values=original,
        filled=len(present) / max(len(values), 1),
        distinct=len(set(present)),
        numbers=numbers / count if present else 0.0,
        comma=numbers >= MOST * count and any(COMMA_NUMBER.fullmatch(v) and not POINT_GROUPS.fullmatch(v) for v in present),
        letters=sum(_has_words(v) for v in present) / count,
        negatives=sum(v.startswith("-") and _is_number(v) for v in present) / count,
        time=_time(name, present, kind),
        is_typed_number=kind == "number",
        groups=numbers >= MOST * count and any(POINT_GROUPS.fullmatch(v) for v in present),
        money=money,
        bracketed=any(BRACKETED.fullmatch(v) for v in original),
        units=tuple(sorted({m[2] for m in measures if m})) if measured else (),
    )


def _is_number(value: str) -> bool:
    return any(pattern.fullmatch(value) for pattern in (NUMBER, COMMA_NUMBER, POINT_GROUPS))


def _has_words(value: str) -> bool:
    letters = sum(c.isalpha() for c in value)
    return letters >= 2 and letters * 2 >= len(value.replace(" ", "")) and not HEX.fullmatch(value) and "@" not in value


def _time(name: str, values: Sequence[str], kind: str | None) -> Time | None:
    """How times of a column are written; None where it holds none."""
    if not values:
        return None
    if kind in ("time", "zoned time", "date"):
        return Time({}, f"a column of type {kind}", zoned=kind == "zoned time", clock=kind != "date")
    called = re.search(NAMES["time"], plain(name)) is not None
    enough = MOST * len(values)
    iso = [m for v in values if (m := ISO.fullmatch(v))]
    if len(iso) >= enough:
        zoned = sum(m[4] is not None for m in iso) >= enough
        return Time({}, "ISO 8601" + (" with an offset" if zoned else ""), zoned=zoned, clock=any(m[1] for m in iso))
    days = [m for v in values if (m := DAYS.fullmatch(v))]
    if len(days) >= enough:
        return _day_first(days)
    if kind == "number" or all(NUMBER.fullmatch(v) for v in values[:50]):
        digits = next((form for form, shape in DIGITS.items() if called and _share(values, shape) >= MOST), None)
        return Time({"format": digits}, f"as in {values[0]}", zoned=False) if digits else _epoch(values, called=called)
    if called or any(c.isalpha() for c in values[0]):
        return _format(values)
    return None


def _day_first(days: Sequence[re.Match[str]]) -> Time:
    first, second = [int(m[1]) for m in days], [int(m[3]) for m in days]
    example, clock = days[0][0], any(m[5] for m in days)
    if max(first) > 12 and max(second) <= 12:
        row = next(m[0] for m in days if int(m[1]) > 12)
        return Time({"day_first": True}, f"sure: {row} has no other reading", zoned=False, clock=clock)
    if max(second) > 12 and max(first) <= 12:
        row = next(m[0] for m in days if int(m[3]) > 12)
        return Time({"day_first": False}, f"sure: {row} has no other reading", zoned=False, clock=clock)
    spans = {reading: _span(days, day_first=reading) for reading in (True, False)}
    likely = spans[True] < spans[False] if spans[True] != spans[False] else days[0][2] == "."
    question = f"{example} may be day first or month first: day_first: {str(likely).lower()} is a guess"
    if spans[True] != spans[False]:
        question += f" (the sample then spans {spans[likely] + 1:,} days, and {spans[not likely] + 1:,} the other way)"
    if max(first) > 12:
        question = f"some dates have the day first and others the month ({example}): one of the two readings loses rows"
    return Time({"day_first": likely}, "a guess", question, zoned=False, clock=clock)


def _span(days: Sequence[re.Match[str]], *, day_first: bool) -> int:
    """Days between the first and the last date, in one of the two readings: an export is mostly of days that follow each other."""
    dates = set()
    for match in days:
        day, month = (match[1], match[3]) if day_first else (match[3], match[1])
        year = int(match[4]) + (2000 if len(match[4]) == 2 else 0)
        with contextlib.suppress(ValueError):
            dates.add(dt.date(year, int(month), int(day)))
    return (max(dates) - min(dates)).days if dates else 0


def _epoch(values: Sequence[str], *, called: bool) -> Time | None:
    numbers = [float(v) for v in values if NUMBER.fullmatch(v)]
    digits = max(numbers, default=0.0)
    dates = [v for v in values if re.fullmatch(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", v)]
    if called and len(dates) >= MOST * len(values):
        return Time({"format": "%Y%m%d"}, "eight digits", zoned=False, clock=False)
    for unit, (low, high) in EPOCHS.items():
        if low <= min(numbers, default=0.0) and digits <= high and (called or unit != "s"):
            moment = dt.datetime.fromtimestamp(digits / {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit], dt.UTC)
            return Time({"unit": unit}, f"numbers since 1970, the newest sampled one is {moment:%Y-%m-%d}")
    if called and EXCEL[0] <= min(numbers, default=0.0) and digits <= EXCEL[1] and any("." in v for v in values):
        return Time({"unit": "excel"}, "days since 1899-12-30, as Excel counts them", zoned=False)
    return None


def _format(values: Sequence[str]) -> Time | None:
    for date in FORMATS:
        for clock in CLOCKS:
            for zone in ("", " %z", " UTC", " GMT"):
                form = date + clock + zone
                if _fits(values[0], form) and sum(_fits(v, form) for v in values[:200]) >= MOST * min(200, len(values)):
                    return Time({"format": form}, f"as in {values[0]}", zoned=bool(zone), clock=bool(clock))
    return None


def _share(values: Sequence[str], shape: str) -> float:
    return sum(re.fullmatch(shape, value) is not None for value in values) / len(values)


def _fits(value: str, form: str) -> bool:
    try:
        dt.datetime.strptime(value, form)
    except ValueError:
        return False
    return True


def commonest(column: Column, limit: int = 12) -> list[str]:
    """The values of a column, the most frequent first."""
    return [value for value, _ in Counter(column.values).most_common(limit)]


def yes_values(column: Column) -> tuple[list[str], list[str]]:
    """Which values of a consent column mean yes, and which are not known to mean yes or no."""
    values = commonest(column, 20)
    known_yes = [v for v in values if v.lower() in YES]
    return known_yes, [v for v in values if v.lower() not in (*YES, *NO)]
