"""An outcome in one plain sentence, for whoever asked and for provenance."""

from found_platform.channels import channels
from found_platform.outcomes.outcome import Act, Among, Outcome, Statement

MORE = {"times": "more often", "days": "on more days", "total": "for more in total"}
LESS = {"times": "less often", "days": "on fewer days", "total": "for less in total"}


def describe(outcome: Outcome, horizon_days: int | None) -> str:
    """What is asked, in words; `horizon_days` is the home's, for an outcome that does not say when. None leaves that unsaid."""
    days = outcome.within_days or horizon_days
    statements = f" {outcome.join} ".join(map(_statement, outcome.will))
    among = []
    if outcome.among.did is not None:
        is_limit = outcome.among.negated and bool(_much(outcome.among))  # "fewer than 3 times", which may be never
        verb = "did not " if outcome.among.negated and not is_limit else ""
        past_act = f"{_act(outcome.among.did, past=not verb)}{_much(outcome.among)}"
        among.append(f"those who {verb}{past_act} in the last {outcome.among.last_days} days")
    if outcome.among.where:
        among.append(f"users with {outcome.among.where}")
    whom = f", among {' and '.join(among)}" if among else ""
    rank = {
        "chance": "",
        "affinity": "; ranked by the share of what they do",
        "value": "; ranked by the expected amount",
    }[outcome.rank]
    when = f" in the next {days} days" if days else ""
    return f"{statements}{when}{whom}{rank}"


def _statement(statement: Statement) -> str:
    much = _much(statement)
    verb = "will not" if statement.negated and not much else "will"
    if statement.share is not None:
        much = f" as at least {statement.share:.0%} of what they do"
    elif statement.more_than_before is not None:
        much = f" {MORE[statement.more_than_before]} than in as many days before"
    elif statement.less_than_before is not None:
        much = f" {LESS[statement.less_than_before]} than in as many days before"
    history = {"first": " for the first time", "again": " again", None: ""}[statement.history]
    return f"{verb} {_act(statement.do)}{much}{history}"


def _much(measured: Statement | Among) -> str:
    """How much of an act: at least so much, or less where that is denied."""
    if measured.times is not None:
        return f" {'fewer than' if measured.negated else 'at least'} {measured.times} times"
    if measured.days is not None:
        return f" on {'fewer than' if measured.negated else 'at least'} {measured.days} days"
    if measured.total is not None:
        return f" for {'less than' if measured.negated else 'at least'} {in_full(measured.total)} in total"
    return ""


def _act(act: Act, past: bool = False) -> str:
    verb = ("brought back", "did") if past else ("bring back", "do")
    words = f"something like {_any(act.about)}" if act.about else "anything" if act.is_anything or act.returned else "something"
    if act.not_about:
        words += f" and not like {_any(act.not_about)}"
    details = []
    if act.channels:
        kinds = {channel.name: channel.kind for channel in channels()}
        named = " or ".join(kinds[name] for name in act.channels)
        if not (act.about or act.not_about or act.returned):  # "make a purchase"
            verb, words = ("brought back", "made") if past else ("bring back", "make"), f"a {named}"
        else:
            details.append(f"as a {named}")
    for name, values in (("category", act.categories), ("status", act.statuses), ("paid by", act.payment_methods)):
        if values:
            details.append(f"{name} {_any(values)}")
    if act.min_amount:
        details.append(f"for {in_full(act.min_amount)} or more at once")
    return " ".join([verb[0] if act.returned else verb[1], words, *details])


def _any(values: tuple[str, ...]) -> str:
    return " or ".join(f"“{value}”" for value in values)


def in_full(value: float) -> str:
    """An amount without an exponent, with at most two decimals."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")
