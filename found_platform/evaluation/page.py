"""The parts of a page that is read offline: tables with bars and verdicts, pictures inside, no script, nothing from elsewhere."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

from found_platform.evaluation.bootstrap import Difference

STYLE = """
:root { color-scheme: light; --ink: #1c2128; --soft: #636c76; --line: #e3e6ea; --ours: #1f6feb; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
p.note { color: var(--soft); margin: .2rem 0 .6rem; }
ul.findings { padding: .8rem 1rem .8rem 2rem; background: #f3f6fb; border-left: 4px solid var(--ours); border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); padding: .3rem .6rem; }
td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; white-space: nowrap; }
td:last-child { white-space: normal; }
tr.honest td { background: #faf7ef; } tr.ours td { background: #eaf2fe; font-weight: 600; }
.bar { display: inline-block; width: 110px; height: .6em; background: #eef0f3; border-radius: 3px; margin-right: .5em; }
.bar i { display: block; height: 100%; background: #8b96a5; border-radius: 3px; }
tr.ours .bar i { background: var(--ours); }
.spread, .bounds { color: var(--soft); font-weight: 400; margin-left: .4em; }
.chip { display: inline-block; min-width: 4.2em; text-align: center; border-radius: 9px; padding: 0 .5em; font-size: .8rem; }
.ahead { background: #ffe3d3; color: #8a3b00; } .behind { background: #d9f2e1; color: #0e5b2c; } .chance { background: #eceff2; }
img { max-width: 100%; }
td.heat { text-align: center; }
.wide { overflow-x: auto; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem 0; }
"""


@dataclass(frozen=True)
class Name:
    """A row's name, and what sort of a row it is: `honest`, `ours` or neither."""

    text: str
    sort: str = ""


@dataclass(frozen=True)
class Bar:
    """A number, a bar beside it that fills so much of its room, and a remark."""

    text: str
    filled: float
    remark: str = ""


@dataclass(frozen=True)
class Verdict:
    """Ahead, behind or chance, and the bounds."""

    word: str
    bounds: str

    @classmethod
    def of(cls, difference: Difference | None, *, reference: bool) -> "Verdict":
        """Of a row's difference to the one that it is compared with, which is the `reference`."""
        if difference is None:
            return cls("", "compared with" if reference else "")
        return cls(difference.verdict, f"{difference.difference:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]")


Cell = str | Name | Bar | Verdict


def document(title: str, parts: Sequence[str]) -> str:
    """The whole page."""
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style></head>'
        f"<body><h1>{name}</h1>{''.join(parts)}</body></html>"
    )


def section(title: str, body: str, note: str = "") -> str:
    """A part with a heading."""
    return f"<h2>{html.escape(title)}</h2>" + (f'<p class="note">{html.escape(note)}</p>' if note else "") + body


def paragraph(text: str) -> str:
    """Words under the title."""
    return f'<p class="note">{html.escape(text)}</p>'


def findings(sentences: Sequence[str]) -> str:
    """What a person should know who reads nothing else."""
    return f'<ul class="findings">{"".join(f"<li>{html.escape(s)}</li>" for s in sentences)}</ul>' if sentences else ""


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table; the first cell of a row says what sort of a row it is."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f'<tr class="{_sort(row[0])}">{"".join(f"<td>{_cell(cell)}</td>" for cell in row)}</tr>' for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _sort(cell: Cell) -> str:
    return cell.sort if isinstance(cell, Name) else ""


def _cell(cell: Cell) -> str:
    if isinstance(cell, Name):
        return html.escape(cell.text)
    if isinstance(cell, Bar):
        remark = f'<span class="spread">{html.escape(cell.remark)}</span>' if cell.remark else ""
        return f'<span class="bar"><i style="width:{100 * min(max(cell.filled, 0), 1):.1f}%"></i></span>{cell.text}{remark}'
    if isinstance(cell, Verdict):
        chip = f'<span class="chip {cell.word}">{cell.word}</span>' if cell.word else ""
        return f'{chip}<span class="bounds">{html.escape(cell.bounds)}</span>'
    return html.escape(cell)


def heat(header: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """A table of AUCs, the farther from one half the stronger the colour."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr><td>{html.escape(name)}</td>{''.join(map(_heat, values))}</tr>" for name, values in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _heat(value: float | None) -> str:
    if value is None:
        return '<td class="heat"></td>'
    strength = min(1.0, 2 * abs(value - 0.5))
    color = "31, 111, 235" if value >= 0.5 else "217, 60, 60"
    return f'<td class="heat" style="background: rgba({color}, {0.45 * strength:.2f})">{value:.3f}</td>'


def picture(png: bytes, about: str) -> str:
    """A picture that is part of the page."""
    return f'<img alt="{html.escape(about)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def links(pages: dict[str, str]) -> str:
    """Pages that lie beside this one, by name."""
    return "<p>" + " · ".join(f'<a href="{html.escape(p)}">{html.escape(name)}</a>' for name, p in pages.items()) + "</p>"


def words(terms: Sequence[tuple[str, str]]) -> str:
    """Words and what they mean."""
    return "<dl>" + "".join(f"<dt>{html.escape(word)}</dt><dd>{html.escape(means)}</dd>" for word, means in terms) + "</dl>"
