"""The file that advertising platforms take: hashes of e-mail addresses and telephone numbers, as SHA-256 of their normal form.

Contacts are read from a file outside of the home at each delivery, and only those of the members; nothing of them is kept. The rows
are in the order of their hashes, which says nothing of scores.
"""

import csv
import hashlib
import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from found_platform.audiences.receivers import CHANGES, NotTaken, Place, Shipment, files
from found_platform.errors import BadInput

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

OPTIONS = ("contacts", "user_id", "email", "phone", "region")
"""The file of contacts (CSV or Parquet), its columns, and the region (ISO 3166) of numbers without a country's code."""
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
GMAIL = ("gmail.com", "googlemail.com")


def check(place: Place) -> None:
    """A store, and a file of contacts with the columns that are named."""
    files.check_store(place, *OPTIONS)
    _contacts(place, place.opened(), ())


def send(place: Place, shipment: Shipment) -> str:
    """Writes the hashes of the members, of changes those of who joined and of who left. Says how many of them have a contact."""
    options = place.opened()
    users: list[str] = shipment.rows["user_id"].to_pylist()
    suffixes = {"-joined": users, "-left": shipment.removed} if shipment.content == CHANGES else {"": users}
    store = {name: value for name, value in options.items() if name not in OPTIONS}
    reached = 0
    for suffix, ids in suffixes.items():
        try:
            contacts = _contacts(place, options, ids)
        except BadInput as problem:
            raise NotTaken(str(problem).rstrip(".")) from None
        region = options.get("region")
        hashed = {row: user for user, email, phone in contacts if any(row := _hashed(email, phone, region))}
        if suffix != "-left":
            reached = len(set(hashed.values()))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["Email", "Phone"])
        writer.writerows(sorted(hashed))
        files.write(place, f"{files.name_of(shipment)}{suffix}.csv", text.getvalue().encode(), shipment, store)
    return f"{reached:,} of {len(users):,} have a contact"


def _contacts(place: Place, options: dict[str, str], ids: list[str] | tuple[()]) -> list[tuple[str, str | None, str | None]]:
    """The contacts of some users: id, e-mail, telephone. Raises BadInput that names the file and the column."""
    if "contacts" not in options or not {"email", "phone"} & set(options):
        raise BadInput("Say where contacts are: --option contacts=FILE, and email=COLUMN, phone=COLUMN or both.")
    path = Path(options["contacts"])
    if place.home is not None and path.resolve().is_relative_to(place.home.resolve()):
        raise BadInput(f"{path} lies within the home: keep contacts outside of it.")
    if path.suffix.lower() not in (".csv", ".parquet"):  # who names any file of the machine learns nothing of it
        raise BadInput(f"The contacts in {path} cannot be read: name a .csv or a .parquet file.")
    columns = [options.get("user_id", "user_id"), *(options[name] for name in ("email", "phone") if name in options)]
    table = _read(path, columns)
    mine = table.filter(pc.is_in(table[columns[0]], pa.array(list(ids), pa.string())))
    values = {name: mine[options[name]].to_pylist() for name in ("email", "phone") if name in options}
    nothing = [None] * mine.num_rows
    return list(zip(mine[columns[0]].to_pylist(), values.get("email", nothing), values.get("phone", nothing), strict=True))


def _read(path: Path, columns: list[str]) -> pa.Table:
    """Some columns of a file, as texts."""
    try:
        if path.suffix.lower() == ".parquet":
            present = pq.read_schema(path).names
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                present = next(csv.reader(file), [])
        if missing := [column for column in columns if column not in present]:
            raise BadInput(f"{path} has no column {missing[0]!r}; it has {', '.join(present)}.")
        if path.suffix.lower() == ".parquet":
            return pa.table(
                {
                    name: column.cast(pa.string())
                    for name, column in zip(columns, pq.read_table(path, columns=columns).columns, strict=True)
                }
            )
        texts = pacsv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True
        )
        return pacsv.read_csv(path, convert_options=texts)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as problem:
        raise BadInput(f"The contacts in {path} cannot be read: {getattr(problem, 'strerror', None) or problem}.") from None


def _hashed(email: str | None, phone: str | None, region: str | None) -> tuple[str, str]:
    return _digest(normal_email(email or "")), _digest(normal_phone(phone or "", region))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def normal_email(text: str) -> str:
    """Small letters without spaces; of Gmail's addresses also without dots and `+…`. Empty where it is no address."""
    address = "".join(text.split()).lower()
    if not EMAIL.fullmatch(address):
        return ""
    name, _, domain = address.rpartition("@")
    return f"{name.partition('+')[0].replace('.', '')}@{domain}" if domain in GMAIL else address


def normal_phone(text: str, region: str | None) -> str:
    """E.164: +, the country's code, the number. Empty where it is none."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region.upper() if region else None)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if phonenumbers.is_valid_number(number) else ""
