"""How fast a CSV file of events is scanned, with good rows and with half of them bad.

    python benchmarks/scan.py [ROWS]

Makes the files under a temporary folder, scans each in a process of its own on two threads and prints a table: seconds to find the
days, seconds in all, rows a second, and the process's peak memory.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import yaml

ROWS = 10_000_000
KINDS = {
    "good": "paid_at",
    "half with a time of another form": "CASE WHEN i % 2 = 0 THEN paid_at ELSE paid_at || ' Europe/Berlin' END",
    "half without a user": "paid_at",
    "half with too many columns": "paid_at",
}


def write(path: Path, rows: int, kind: str) -> None:
    """A file of orders: 200,000 users at most, 5,000 texts, a year."""
    user = "CASE WHEN i % 2 = 0 THEN user END" if "user" in kind else "user"
    last = "CASE WHEN i % 2 = 0 THEN i::VARCHAR ELSE i || ',1,2' END" if "columns" in kind else "i::VARCHAR"
    duckdb.sql(
        f"COPY (SELECT {user} AS customer, {KINDS[kind]} AS paid_at, 'product number ' || hash(i * 13) % 5000 AS item, "
        f"'dept' || hash(i * 3) % 20 AS dept, round((hash(i * 5) % 10000) / 100, 2) AS price, {last} AS id FROM (SELECT i, "
        "'u' || hash(i) % 200000 AS user, strftime(TIMESTAMP '2024-01-01' + to_seconds((hash(i * 7) % 31000000)::BIGINT), "
        f"'%Y-%m-%d %H:%M:%S') AS paid_at FROM range({rows}) t(i))) TO '{path}' (HEADER, QUOTE '')"
    )


def scan(source: Path) -> None:
    """Scans a source and prints what it took as JSON."""
    from found_platform import lake
    from found_platform.sources import config, counts, discovery, scan

    con = lake.connect("4GB", temp=source.parent / "tmp", database=str(source.parent / "scan.duckdb"))
    con.execute("SET threads = 2")
    begin = time.perf_counter()
    discovered = discovery.discover(con, config.load(source))
    days = time.perf_counter() - begin
    scan.scan(con, discovered)
    (report,) = counts.report(con)
    equal = counts.equal_rows(con)
    peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    cpu = time.process_time()
    print(
        json.dumps(
            {
                "days": days,
                "all": time.perf_counter() - begin,
                "cpu": cpu,
                "good": report.good,
                "bad": report.bad_rows,
                "equal": equal,
                "mb": peak // 1024,
            }
        )
    )


def main(rows: int) -> None:
    print(f"{'file':<36}{'MB':>7}{'good':>12}{'bad':>12}{'days s':>9}{'in all s':>9}{'CPU s':>8}{'rows/s':>12}{'peak MB':>9}")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            file, source = Path(folder) / "orders.csv", Path(folder) / "source.yaml"
            write(file, rows, kind)
            columns = {
                "user_id": "customer",
                "event_time": "paid_at",
                "text": "item",
                "category": "dept",
                "amount": "price",
                "event_id": "id",
            }
            source.write_text(
                yaml.safe_dump({"name": "orders", "channels": {"pay_bill": {"path": "orders.csv", "columns": columns}}})
            )
            run = subprocess.run([sys.executable, __file__, str(source)], capture_output=True, text=True, check=True)
            r = json.loads(run.stdout.splitlines()[-1])
            size = file.stat().st_size / 1e6
            print(
                f"{kind:<36}{size:>7.0f}{r['good']:>12,}{r['bad']:>12,}{r['days']:>9.1f}{r['all']:>9.1f}{r['cpu']:>8.1f}"
                f"{rows / r['all']:>12,.0f}{r['mb']:>9,}",
                flush=True,
            )


if __name__ == "__main__":
    argument = sys.argv[1] if len(sys.argv) > 1 else str(ROWS)
    main(int(argument)) if argument.isdigit() else scan(Path(argument))
