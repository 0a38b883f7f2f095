"""Statuses of rows: what never became a purchase, what did not take place, and what was deleted.

What belongs here: the columns that say so, by their names or by their values, and the filters that leave rows out. What does not:
what was brought back (`init_kinds`).
"""

import re
from dataclasses import replace

from found_platform.lake import literal
from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import Column, commonest, yes_values
from found_platform.sources.init_tables import View
from found_platform.sources.init_text import Line

FEW_KINDS = 30
"""Up to so many distinct values a column is a kind of event, a category or a status."""
FEW_STATUSES = 12
"""Up to so many a column under any name is a status, where its values say so."""
FINISHED = re.compile(
    r"^ok$|success|approv|accept|complet|captured|settled|^paid|^bezahlt|genehmigt|erfolgreich|abgeschlossen|erledigt|^attended|"
    r"wahrgenommen|^erschienen|confirm|checked.?(in|out)|fulfilled|delivered|^kept$|^done$|(^|[^a-z])won$|afgerond|zrealizowan|concluid|完成|成功|已付款|honou?red",
    re.IGNORECASE,
)
RETURNED = re.compile(
    r"refund|return|cancel|void|chargeback|storn|retour|annul|rembours|reembols|devuel|rimbors|erstattet|revers|disput|"
    r"abgesagt|zur(ü|ue)ckgegeben|geannuleerd|geretourneerd|anulowan|zwrot|devolvid|estornad|avbokad|afbestilt|取消|退款|退货|キャンセル|返品",
    re.IGNORECASE,
)
NO_RETURNS = re.compile(r"view|search|click|start|request|policy|page|password|sent|received", re.IGNORECASE)
ABSENT = (
    r"no.?show|(did|has|was).?n[o']t.?(attend|show|come|arrive)|not.?attended|nicht.?(erschienen|wahrgenommen|angetreten|angekommen)|"
    r"^missed|verpasst|vers(ä|ae)umt|^absent|unentschuldigt|^dna$|no.?answer|^busy$|niet.?verschenen|未到|爽约|non.pr(e|é)sent|no.presentad|assente|verschoben|reschedul|postpon"
)
UNFINISHED = re.compile(
    r"fail|declin|denied|reject|pending|unpaid|not.?paid|expired|abandon|draft|on.?hold|error|incomplete|insufficient|bounced|(^|[^a-z])lost$|prospecting|negotiat|proposal|verloren|"
    r"dishonou?red|timed?.?out|blocked|invalid|awaiting|fehlgeschlagen|abgelehnt|ausstehend|nicht.?bezahlt|ung(ü|ue)ltig|"
    rf"zur(ü|ue)ckgewiesen|en.attente|mislukt|afgewezen|nieudan|odrzucon|未付款|待付款|失败|关闭|失敗|en.attente|refus|pendiente|rechaz|{ABSENT}",
    re.IGNORECASE,
)
"""Statuses of what never became a purchase."""
CALLED_OFF = re.compile(
    rf"cancel|storn|annul|abgesagt|declin|denied|reject|fail|abgelehnt|fehlgeschlagen|geannuleerd|取消|失败|{ABSENT}", re.IGNORECASE
)
"""Statuses of what did not take place."""


def statuses(view: View, kind: Column | None = None) -> list[Column]:
    """The columns that say what became of a row: those called so, else one whose values say that some came about
    and others did not."""
    columns = [c for c in view.columns.values() if c not in (view.user, view.time, kind) and c.has_words and c.time is None]
    named = [c for c in columns if c.is_called("status") and c.distinct <= FEW_KINDS]
    named.sort(key=lambda column: re.search(r"(^|_)(old|prev(ious)?|from|alt(er)?|vorher)(_|$)", column.plain) is not None)
    return named or [c for c in columns if c.distinct <= FEW_STATUSES and not c.is_called("kind") and _tells_outcomes(c)]


def _tells_outcomes(column: Column) -> bool:
    values = commonest(column, FEW_STATUSES)
    lost = [v for v in values if UNFINISHED.search(v) or RETURNED.search(v)]
    return bool(lost) and any(FINISHED.search(v) for v in values if v not in lost)


def returned_values(column: Column) -> list[str]:
    """The values that say that something is brought back."""
    values = commonest(column, FEW_KINDS)
    return [v for v in values if RETURNED.search(v) and not NO_RETURNS.search(v) and not UNFINISHED.search(v)]


def listed(values: list[str] | tuple[str, ...]) -> str:
    """Values as an expression has them after IN."""
    return "(" + ", ".join(map(literal, values)) + ")"


def unfinished(view: View) -> tuple[str, str] | None:
    """A filter that leaves out what never became a purchase, as a status says, and the question about it; None without one."""
    for column in statuses(view):
        values = [v for v in commonest(column, FEW_KINDS) if UNFINISHED.search(v)]
        if values and len(values) < column.distinct:
            question = f"rows whose {column.name} is {', '.join(values)} are left out: they became no purchases"
            return _unless(column, values), question
    return None


def deleted(view: View) -> tuple[str, str] | None:
    """A filter that leaves out rows which are only marked as deleted, or as tests, and the question about it; None without one."""
    for column in view.columns.values():
        if column in (view.user, view.time) or not column.is_called("deleted") or not column.values:
            continue
        yes, unknown = yes_values(column)
        if column.time is not None:
            return f"{of_column(column.name)} IS NULL", f"rows whose {column.name} is not empty are left out: they were deleted"
        if yes and not unknown:
            return _unless(column, yes), f"rows whose {column.name} is {', '.join(yes)} are left out: they do not count any more"
    return None


def with_question(view: View, columns: list[Line]) -> list[Line]:
    """The columns of a channel of what people did, with a question about what did not take place: it stays an event."""
    for column in statuses(view):
        values = [v for v in commonest(column, FEW_KINDS) if CALLED_OFF.search(v)]
        if not values or len(values) == column.distinct:
            continue
        question = (
            f"rows whose {column.name} is {', '.join(values)} are events like all others, with that status: where they should not "
            f"count, leave them out with `where: {of_column(column.name)} NOT IN {listed(values)}`"
        )
        place = "status" if any(line.key == "status" for line in columns) else "text"
        return [replace(line, questions=(*line.questions, question)) if line.key == place else line for line in columns]
    return columns


def _unless(column: Column, values: list[str]) -> str:
    name = of_column(column.name)
    return f"({name} IS NULL OR {name} NOT IN {listed(values)})"
