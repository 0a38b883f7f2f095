"""Everything that is timed, each beside its peer in one run, and one table of goals and verdicts.

    .venv/bin/python benchmarks/all.py [--small] [--only NAME ...]      (make bench, make bench-small)

Runs the benchmarks of `SCRIPTS`, the commands' start and a run of the demo, one after the other. Writes build/bench.json, and the
table into docs/benchmarks.md between its marks; with `--small`, whose figures mean nothing, the table goes to build/bench.md alone.
With `--only`, the other parts keep what build/bench.json has of them. Ratios are of one run of a part; seconds are of the
processor, children included, unless a row says that they are by the clock.
"""

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"

SCRIPTS = ("features", "texts", "training", "lookup", "labelled")
"""Scripts that write build/bench-NAME.json with `ratios` and `goals`."""
PARTS = ("commands", *SCRIPTS)

QUESTION = ("audience", "find", "people who will soon buy gold", "--top", "20")


class Row(NamedTuple):
    """A figure with its goal, such as `>= 2`; `none` where there is none."""

    of: str
    figure: str
    value: float
    goal: str

    @property
    def verdict(self) -> str:
        """Whether the goal is met; empty without one. `about` allows a fifth either way."""
        match = re.fullmatch(r"(>=|<=|=|about) ([\d.]+)", self.goal)
        if match is None:
            return ""
        goal = float(match[2])
        met = {
            ">=": self.value >= goal,
            "<=": self.value <= goal,
            "=": self.value == goal,
            "about": abs(self.value - goal) <= goal / 5,
        }
        return "met" if met[match[1]] else "**missed**"


def script(name: str, small: bool) -> Iterator[Row]:
    """The ratios of a benchmark of its own."""
    subprocess.run([sys.executable, HERE / f"{name}.py", *(["--small"] if small else [])], check=True)
    figures = json.loads(Path(f"build/bench-{name}.json").read_text())
    if "left_out" in figures:
        print(f"{name}: left out, {figures['left_out']}")
    for figure, value in figures.get("ratios", {}).items():
        yield Row(name, figure, value, figures["goals"][figure])


def seconds(*arguments: str, status: int = 0) -> float:
    """Processor seconds of a command with its children. Raises where it ends with another exit status."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([sys.executable, "-m", "found_platform.cli", *arguments], stdout=subprocess.DEVNULL, check=False)
    if ended.returncode != status:
        raise SystemExit(f"`found {' '.join(arguments)}` ended with exit status {ended.returncode}.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(small: bool) -> Iterator[Row]:
    """A run of the demo, a short benchmark in its home, and how long commands take from their start to their end."""
    with tempfile.TemporaryDirectory() as folder:
        home = ("--home", f"{folder}/home")
        size = ("--users", "300", "--days", "60") if small else ()
        yield Row("commands", "found demo --profile tiny, CPU s", seconds("demo", "--profile", "tiny", *size, *home), "<= 150")
        yield Row("commands", "found benchmark run --quick, CPU s", seconds("benchmark", "run", "--quick", *home), "<= 120")
        cases = {
            "found --help": (("--help",), 0, "<= 0.3"),
            "found status": (("status", *home), 0, "<= 2"),
            "found audience list": (("audience", "list", *home), 0, "<= 2"),
            "found audience find": ((*QUESTION, *home), 0, "<= 6"),
            "a wrong --where, refused": ((*QUESTION, "--where", "evens_28d >= 3", *home), 2, "<= 2"),
        }
        for name, (arguments, status, goal) in cases.items():
            yield Row("commands", f"{name}, CPU s, best of three", min(seconds(*arguments, status=status) for _ in range(3)), goal)


def kept(small: bool) -> dict[str, list[Row]]:
    """The rows of the last runs of the same size, by part."""
    path = Path("build/bench.json")
    document = json.loads(path.read_text()) if path.exists() else {"small": small, "rows": []}
    if document["small"] != small:
        return {}
    rows = [Row(**{name: row[name] for name in Row._fields}) for row in document["rows"]]
    return {part: [row for row in rows if row.of == part] for part in PARTS if any(row.of == part for row in rows)}


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| of | figure | value | goal | verdict |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r.of} | {r.figure} | {r.value:.3g} | {'' if r.goal == 'none' else r.goal} | {r.verdict} |" for r in rows]
    return "\n".join(lines)


def into_page(page: str, content: str) -> str:
    """The page with this content between the marks."""
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these alone; of the others stays what was measured last")
    options = parser.parse_args()
    Path("build").mkdir(exist_ok=True)
    rows_of = kept(options.small) if options.only else {}
    for part in options.only or PARTS:
        rows_of[part] = []
        for row in commands(options.small) if part == "commands" else script(part, options.small):
            rows_of[part].append(row)
            print(f"{row.of}: {row.figure}: {row.value:.3g} {row.goal} {row.verdict}", flush=True)
    rows = [row for part in PARTS for row in rows_of.get(part, ())]
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine(), "small": options.small}
    document = {**machine, "rows": [{**row._asdict(), "verdict": row.verdict.strip("*")} for row in rows]}
    Path("build/bench.json").write_text(json.dumps(document, indent=1))
    Path("build/bench.md").write_text(table(rows) + "\n")
    if not options.small and rows_of.keys() == set(PARTS):
        PAGE.write_text(into_page(PAGE.read_text(), table(rows)))
    missed = [f"{row.of}: {row.figure}" for row in rows if "missed" in row.verdict]
    print(f"{len(rows)} figures; missed: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
