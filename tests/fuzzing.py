"""What the fuzzer writes: documents, files of data and texts as people write them, and as nobody should.

What belongs here: strategies. What does not: what has to hold of them (`test_fuzz`).
"""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

from found_platform.channels import channels
from found_platform.contract import EVENT_OPTIONAL, EVENT_REQUIRED

COLUMNS = (*EVENT_REQUIRED, *EVENT_OPTIONAL)
CHANNELS = tuple(channel.name for channel in channels())

ODD_WORDS = r"""
NULL null None nan inf -0 1e999 0x1F 1_000 ١٢٣ true yes 2026-02-31 2026-01-01 0001-01-01T00:00:00Z
9999-12-31T23:59:60 24:00 1700000000 -1 % ${HOME} {{x}} {x [ *a &a !!set \ ' " "" ../../etc/passwd /etc/passwd
/dev/zero file:///etc/passwd s3://bucket/key **/* C:\data\*.csv ~root read_text('/etc/passwd') $(reboot)
<script> İ ﬀ 👩‍👩‍👧
"""
ODD = [
    *ODD_WORDS.split(),
    "",
    " ",
    "\0",
    "a\0b",
    "\ufeff",
    "\u202e",
    "e\u0301",
    "\ud800",
    "\n",
    "\r",
    "\t",
    "'; DROP TABLE events; --",
]
ODD += ["9" * 5_000, "x" * 300, "é" * 200, "a" * 5_000]
odd_texts = st.sampled_from(ODD)
texts = st.one_of(odd_texts, st.text(max_size=30), st.sampled_from(COLUMNS))
scalars = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), st.dates())
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@st.composite
def mutated(draw: st.DrawFn, content: Any) -> Any:
    """A sound document with some of its places replaced, removed, repeated or renamed."""
    if isinstance(content, dict):
        changed = {}
        for key, value in content.items():
            what = draw(st.integers(0, 24))
            if what == 0:
                continue
            name = draw(texts) if what == 1 else key
            changed[name] = draw(anything) if what == 2 else [value] if what == 3 else draw(mutated(value))
        if draw(st.integers(0, 14)) == 0:
            changed[draw(texts)] = draw(anything)
        return changed
    if isinstance(content, list):
        return [draw(mutated(value)) for value in content] * draw(st.sampled_from([1, 1, 1, 0, 2]))
    return draw(anything) if draw(st.integers(0, 9)) == 0 else content


SOURCE = {
    "name": "shop",
    "channels": {
        "pay_bill": [
            {
                "path": "log.csv",
                "delimiter": ",",
                "where": "user_id <> 'x'",
                "columns": {**{name: name for name in COLUMNS}, "event_time": {"column": "event_time", "format": "%Y-%m-%d"}},
                "timezone": "Europe/London",
                "types": {"amount": "float"},
                "nulls": ["-"],
                "returns": "amount < 0",
            }
        ],
        "search": {"path": "log.parquet", "columns": {"user_id": "user_id", "event_time": "event_time", "text": "text"}},
    },
    "profile": {"path": "users.csv", "key": "user_id", "as_of": None, "consent": {"column": "ok", "yes": ["y"]}},
    "span": {"start": "2026-01-01", "end": "2026-02-01"},
}
OUTCOME = {
    "will": [{"do": {"about": ["gold"], "channel": "pay_bill"}, "measure": "count", "at_least": 2}],
    "within_days": 28,
    "rank": "chance",
}
SCENARIOS = {
    "scenarios": [{"scenario": "gold", "demand": "people who buy gold", "horizon_days": 28, "outcome": OUTCOME, "rank": "chance"}]
}
BODIES = {
    "/look-ups": {"question": {"sentence": "people who buy gold", "where": "events_28d >= 3", "mode": "auto"}, "size": {"top": 5}},
    "/previews": {"question": {"outcome": OUTCOME}, "size": {"level": "balanced"}},
    "/why": {"question": {"sentence": "gold"}, "size": {"top": 5}, "user": "u1"},
    "/rewritings": {"sentence": "people who buy gold"},
    "/users": {"user": "u1", "as_of": "2026-01-01"},
    "/suppressions": {"users": ["u1"], "reason": "asked"},
    "/tokens": {"name": "ann", "role": "viewer", "days": 3},
    "/backfills": {"start": "2026-01-01", "end": "2026-01-02"},
    "/erasures": {"users": ["u1"], "reason": "asked"},
    "/expirations": {"dry_run": True},
    "/promotions": {},
}


def as_yaml(content: Any) -> str:
    """A document as a person may have written it: what YAML cannot say is left as the text of it."""
    try:
        return yaml.safe_dump(content, allow_unicode=True)
    except (yaml.YAMLError, UnicodeError):
        return str(content)


def documents(content: Any) -> st.SearchStrategy[str]:
    """Texts of documents: mutated ones, those with pieces cut out or put in, and noise."""
    whole = mutated(content).map(as_yaml)
    return st.one_of(
        whole,
        st.tuples(whole, st.integers(0, 400), st.integers(0, 40), odd_texts).map(
            lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :]
        ),
        anything.map(as_yaml),
        st.text(max_size=200),
    )


def bodies(content: Any) -> st.SearchStrategy[bytes]:
    """Bodies of requests: mutated ones as JSON, nested ones, and noise."""
    return st.one_of(
        mutated(content).map(lambda body: json.dumps(body, default=str).encode()),
        anything.map(lambda body: json.dumps(body, default=str).encode()),
        st.sampled_from(
            [b"[" * 100_000, b'{"question":' * 20_000, b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", b"\xff\xfe", b'"\\ud800"']
        ),
        st.binary(max_size=200),
    )


cells = st.one_of(
    odd_texts,
    st.text(max_size=20),
    st.sampled_from(["u1", "u2", "2026-01-05", "2026-01-06 10:00:00", "31.12.2025", "12,90", "12.90", "tea"]),
)
rows = st.lists(st.lists(cells, min_size=3, max_size=6), max_size=12)


@st.composite
def csv_files(draw: st.DrawFn) -> bytes:
    """Text files: a header or none, rows of any number of cells, quotes, line ends and encodings of any kind."""
    delimiter, end = draw(st.sampled_from([",", ",", ";", "\t", "|"])), draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"]))
    header = draw(st.sampled_from([list(COLUMNS[:3]), ["user_id", "event_time", "text", "amount"], ["user_id"], ["a", "A"], []]))
    quoted = draw(st.booleans())
    lines = [header] if header else []
    lines += [row[: len(header)] if header and draw(st.integers(0, 3)) else row for row in draw(rows)]
    text = end.join(delimiter.join('"' + cell.replace('"', '""') + '"' if quoted else cell for cell in line) for line in lines)
    data = (text + draw(st.sampled_from(["", end, '"', "\0"]))).encode(
        draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32"])), errors="replace"
    )
    return data if draw(st.integers(0, 5)) else data[: draw(st.integers(0, 60))] + draw(st.binary(max_size=20))


jsonl_files = st.one_of(
    st.lists(anything, max_size=6).map(
        lambda values: "\n".join(json.dumps(v, default=str) for v in values).encode(errors="replace")
    ),
    st.lists(anything, max_size=6).map(lambda values: json.dumps(values, default=str).encode(errors="replace")),
    st.sampled_from([b"[" * 50_000, b'{"user_id":' * 20_000, b"{}", b"[]", b"null", b'{"user_id": NaN}', b'{"a": 1}{"a": 2}']),
    st.binary(max_size=100),
)

ARROW = [pa.string(), pa.large_string(), pa.binary(), pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_(), pa.date32()]
ARROW += [
    pa.timestamp("ns"),
    pa.timestamp("s", tz="Asia/Tokyo"),
    pa.time64("us"),
    pa.duration("s"),
    pa.decimal128(38, 10),
    pa.null(),
]
ARROW += [
    pa.list_(pa.string()),
    pa.struct([("name", pa.string())]),
    pa.map_(pa.string(), pa.int64()),
    pa.dictionary(pa.int8(), pa.string()),
]
"""Types that a column of a Parquet file may have."""


@st.composite
def parquet_files(draw: st.DrawFn) -> bytes:
    """Parquet files with columns of any type and any number of rows, nulls among them; and broken ones."""
    names = draw(st.lists(st.one_of(st.sampled_from(COLUMNS), texts.filter(_encodable)), min_size=1, max_size=5, unique=True))
    count, columns = draw(st.integers(0, 6)), []
    for _ in names:
        kind = draw(st.sampled_from(ARROW))
        values = [None] * count
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            values = [draw(cells.filter(_encodable)) for _ in range(count)]
        elif pa.types.is_integer(kind):
            values = [draw(st.integers(0, 100)) for _ in range(count)]
        elif pa.types.is_timestamp(kind):
            values = [draw(st.integers(-(2**33), 2**33)) for _ in range(count)]
        elif pa.types.is_float64(kind):
            values = [draw(st.floats()) for _ in range(count)]
        columns.append(pa.array(values, kind))
    stream = io.BytesIO()
    try:
        pq.write_table(pa.table(columns, names), stream)
    except pa.ArrowException:
        return b"PAR1"
    data = stream.getvalue()
    return data if draw(st.integers(0, 6)) else data[: draw(st.integers(0, len(data)))] + draw(st.binary(max_size=8))


def _encodable(text: str) -> bool:
    return not any(0xD800 <= ord(sign) <= 0xDFFF for sign in text)


WORDS = """people who will buy gold or and not no never again|at least|3 times|within 30 days|spend more than|$|€
1,000|for|stop buying|customers|about to leave|(|)|,|.|%|Kunden
|die Gold kaufen und|in den nächsten Wochen|most|searching|next month|aged 25-34|2 to 1"""
words = st.sampled_from(WORDS.replace("\n", " ").split("|") + WORDS.split())
demands = st.one_of(
    st.lists(words, max_size=14).map(" ".join), texts, st.text(max_size=200), st.sampled_from(["and " * 240, "a" * 999, "1" * 999])
)
FILTER_PARTS = """
age_band events_28d city is_new = <> < >= IN NOT ( ) AND OR IS NULL '25-34' '' ' " 3 -1 1e400
99999999999999999999 0x1 BETWEEN LIKE '%' , ; -- /* * SELECT read_text('/etc/passwd') COPY true unknown CASE
::int $1 ? events_28d>=3 city='Bonn'
"""
filters = st.one_of(
    st.lists(st.sampled_from(FILTER_PARTS.split()), max_size=12).map(" ".join),
    texts,
    st.sampled_from(["(" * 3_000, "NOT " * 2_400 + "is_new", "- " * 4_000 + "1"]),
)
