"""What a demand says about acts: how often, for how much, again or no longer, among whom, and by what users are to be ranked.

What it says so is taken out of the demand; the rest says what it is about, and is read by `reading`. Where a demand says nothing of
the kind, the rest is all of it.
"""

import re
from dataclasses import replace
from typing import Literal

from found_platform.rewriting.act_words import ACTIVE_DAYS, Acts, Before, Limit
from found_platform.rewriting.language import Language


def read(text: str, language: Language) -> tuple[str, Acts]:
    """A demand in lower case, without what it says about acts, and that."""
    reader = _Reader(text, language)
    acts = reader.acts()
    return (reader.text if not acts.is_empty else text), acts


TELLING = (
    "limits",
    "rarely",
    "more",
    "less",
    "days",
    "times",
    "times_people",
    "rate",
    "share",
    "value",
    "again",
    "nothing",
    "first",
)
"""Patterns whose words may say in which way something is done: "three orders", "big spenders"."""


class _Reader:
    """Takes patterns out of a text, one after the other."""

    def __init__(self, text: str, language: Language):
        self.text, self.language = text, language
        self.manner: list[str] = []
        self.span: int | None = None

    def acts(self) -> Acts:
        more, less = self._compared("more"), self._compared("less")
        is_total, is_once = self._take("acts", "total") is not None, self._take("acts", "once") is not None
        is_new, not_lately = self._not_before()
        has_stopped = self._take("acts", "stopped") is not None
        before = Before("", None, negated=True) if has_stopped else not_lately or self._before()
        limit, notes = self._limit()
        ending = self._find("acts", "lapse")
        (lapse, lapse_denied), (stop, stop_denied) = self._ends("lapse"), self._ends("stop")
        leaves = lapse and ending is not None and not self.language.pattern("acts", "stops_it").search(ending[0])
        negated = self._take("acts", "nothing") is not None or self._negated()
        rate = self._rate()
        on_days = self._take("acts", "days")
        days, times = self._number(on_days), rate[0] if rate else self._times()
        if times and not rate and (each := self._take("acts", "every_unit")):  # "two claims a year"
            rate = (times, self.language.at("days")[each["unit"]])
        if on_days and (unit := on_days.groupdict().get("unit")):
            rate = rate or (days or 1, self.language.at("days")[unit])
        if limit:
            rate = (limit.least or 1, limit.per) if limit.per else rate
            least = limit.least if limit.least and (limit.least > 1 or limit.per) else None  # at all is enough for once
            days, times = (least, times) if limit.on_days else (days, least)
        often = self._take("acts", "times_people")
        # "regular customers who will buy wine" came often: how often they will buy wine is not said
        is_of_who = often is not None and self.language.pattern("relative").search(self.text, often.start()) is not None
        share = self._share()
        first, returned = self._take("acts", "first") is not None or is_new, self._take("acts", "returned")
        nth = self._nth()
        is_back = self._take("acts", "back") is not None
        again = self._take("acts", "again") is not None or nth is not None or is_back
        value, affinity = self._take("acts", "value") is not None, self._take("acts", "affinity") is not None
        history: Literal["first", "again"] | None = "first" if first else "again" if again else None
        active, inactive = self._take("acts", "active") is not None, self._take("acts", "inactive") is not None
        no_more = self._take("acts", "no_more") is not None if negated else False
        lapse = lapse or (negated and (no_more or again))
        stays = lapse_denied or stop_denied
        if before is None and (lapse or stop or stays or active or inactive):
            before = Before("", None, negated=inactive, is_anything=(active or inactive) and not (lapse or stop or stays))
        if often and before is not None and not (before.clause or before.negated):
            before = replace(before, times=self.language.at("acts", "often"))  # "regular customers who will leave" came often
        elif often and (before is not None or negated):
            notes = (*notes, f"“{often[0].strip()}” is not heeded beside what else is said of the past")
        elif often and is_of_who:
            before = Before("", None, is_anything=True, times=self.language.at("acts", "often"))
        elif often and times is None and not limit:
            times = self.language.at("acts", "often")
        if nth and nth[0] > 2 and before is None and not negated:
            before = Before("", None, times=nth[0] - 1, is_ever=True)
            notes = (*notes, f"“{nth[1]}” is read as again, by those who did it at least {nth[0] - 1} times so far")
        elif nth and nth[0] > 2:
            notes = (
                *notes,
                f"“{nth[1]}” is read as again: say how often before, as “who did it {nth[0] - 1} times last year and …”",
            )
        every = self._every()
        is_anything = self._find("acts", "at_all") is not None
        acts = Acts(
            negated=lapse or stop or negated or has_stopped,
            times=times,
            days=days,
            is_total=is_total,
            is_once=is_once,
            share=share,
            more=more,
            less=less,
            every=every,
            per=rate[1] if rate else None,
            span=self.span,
            history="again" if has_stopped else history if not (lapse or stop or negated) else None,
            returned=returned is not None,
            before=before,
            rank="value" if value else "affinity" if affinity else None,
            lapse=lapse or stop,
            leaves=leaves and not stop,
            is_back=is_back and not (lapse or stop or negated),
            most=limit.most if limit and not limit.on_days else None,
            most_days=limit.most if limit and limit.on_days else None,
            is_some=bool(limit and limit.least),
            notes=notes,
        )
        if acts.is_empty:
            return acts
        self._take("acts", "at_all")
        return replace(acts, is_anything=is_anything, manner=" ".join(self.manner))

    def _ends(self, name: str) -> tuple[bool, bool]:
        """Whether it is said to come to an end, and whether that is denied."""
        match = self._find("acts", name)
        if not match or self.language.pattern("acts", "looks_for").search(self.text[: match.start()]):
            return False, False
        denied = self.language.pattern("acts", "denied").search(self.text[: match.start()])
        if denied and match[0].split()[0] not in denied[0].split():
            self.text = f"{self.text[: denied.start()]} {self.text[match.start() :]}"
            self._take("acts", name)
            return False, True
        self._take("acts", name)
        return True, False

    def _compared(self, name: str) -> Literal["times", "total"] | None:
        """Which quantity is to be more, or less, than before."""
        quantities: tuple[Literal["total", "times"], ...] = ("total", "times")
        for quantity in quantities:
            if match := self._take("acts", name, quantity):
                unit, number = (match.groupdict().get(name) for name in ("unit", "number"))
                count = self.language.value(number.strip()) if number else 1
                self.span = count * self.language.at("days")[unit] if unit else None
                return quantity
        return None

    def _rate(self) -> tuple[int, int] | None:
        """How many times, and the days of each of which it is to be so many."""
        match = self._take("acts", "rate")
        if not match:
            return None
        groups = match.groupdict()
        more = self.language.pattern("acts", "more_than").match(groups.get("over") or "")
        times = 2 if groups.get("twice") else self.language.value(match["number"].strip())
        return times + bool(more), self.language.at("days")[match["unit"]]

    def _every(self) -> int | None:
        """The days of each of which it is to be done."""
        days = self.language.at("days")
        if match := self._take("acts", "every"):
            number = match.groupdict().get("number")
            return days[match["unit"]] * (self.language.value(number.strip()) if number else 1)
        words = self.language.at("acts", "every_words")
        return next((days[unit] for pattern, unit in words.items() if self._cut(re.compile(pattern))), None)

    def _limit(self) -> tuple[Limit | None, tuple[str, ...]]:
        """How often it is done at most, and a note on words that say so without a number."""
        match = self._take("acts", "limits")
        if not match:
            rarely = self._take("acts", "rarely")
            return (Limit(1), (f"“{rarely[0].strip()}” is read as at most once",)) if rarely else (None, ())
        groups = {name: text for name, text in match.groupdict().items() if text}
        count = 1 if "once" in groups else 2 if "twice" in groups else self.language.value(groups["number"].strip())
        most = self.language.value(groups["number2"].strip()) if "number2" in groups else count
        least = count if "number2" in groups or "exact" in groups else None
        least = least + ("above" in groups) if least else None
        each = groups if "unit" in groups else self._take("acts", "every_unit")  # "at most two transfers a month"
        per = self.language.at("days")[each["unit"]] if each else None
        return Limit(max(0, most - ("below" in groups)), least, "on_days" in groups, per), ()

    def _find(self, *path: str) -> re.Match[str] | None:
        node = self.language.at(*path)
        patterns = self.language.patterns(*path) if isinstance(node, list) else [self.language.pattern(*path)]
        return next((match for pattern in patterns if (match := pattern.search(self.text))), None)

    def _take(self, *path: str) -> re.Match[str] | None:
        """The first match of a pattern, which is taken out of the text; what it calls `object` stays."""
        match = self._find(*path)
        if match:
            kept = " ".join(text for name, text in match.groupdict().items() if name.startswith("object") and text)
            if path[1] in TELLING:
                self.manner.append(match[0])
            self.text = f"{self.text[: match.start()]} {kept} {self.text[match.end() :]}"
        return match

    def _cut(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.search(self.text)
        if match:
            self.text = f"{self.text[: match.start()]} {self.text[match.end() :]}"
        return match is not None

    def _not_before(self) -> tuple[bool, Before | None]:
        """Whether those who did it ever are left out, or who of them did it lately."""
        match = self._take("acts", "not_before")
        groups = match.groupdict() if match else {}
        if not groups.get("unit"):
            return match is not None, None
        number = self.language.value(groups["number"].strip()) if groups.get("number") else 1
        return False, Before("", number * self.language.at("days")[groups["unit"]], negated=True)

    def _before(self) -> Before | None:
        """The clause that says what the users did before."""
        return self._clause("before") or self._clause("before_past") or self._clause("before_noun")

    def _clause(self, name: str) -> Before | None:
        match = self._find("acts", name)
        if not match:
            return None
        parted = self._parted(match, name)
        if parted is None:
            return None
        who, clause, rest = parted
        is_all = not rest.strip()  # nothing is said of what is to come: it is to be done again
        without, does_not = self.language.at("acts", "clause_without")
        demand_clause = re.sub(without, does_not, clause) if is_all else rest.strip()
        for pattern, other in self.language.at("acts", "clause_then"):
            demand_clause = re.sub(pattern, other, demand_clause)
        self.text = f"{who} {self.language.at('pronoun')} {demand_clause}"
        negated = self.language.pattern("acts", "clause_not").search(clause) is not None
        words = clause
        limited = _Reader(clause, self.language)
        limit, notes = limited._limit()
        if limit:  # "no more than twice" denies nothing
            clause = limited.text
            negated = self.language.pattern("acts", "clause_not").search(clause) is not None
        clause, unheeded = self._but_not(clause) if negated else (clause, "")
        if unheeded and is_all:
            self.text = f"{who} {self.language.at('pronoun')} {clause}"
        negated = negated and not unheeded
        clause = self.language.pattern("acts", "clause_not").sub(" ", clause)
        groups = match.groupdict()
        unit, number = groups.get("unit"), groups.get("number")
        never = negated and not unit and self.language.pattern("acts", "clause_never").search(words) is not None
        days = (self.language.value(number) if number else 1) * self.language.at("days")[unit] if unit else None
        past = _Reader(clause, self.language)
        rate = past._rate()  # before its "5 times" are taken
        on_days, times, in_total = past._count("days"), past._times(), past._take("acts", "total") is not None
        if times is None and on_days is None and (times := past._count("times_noun")):
            each = past._take("acts", "every_unit")
            times = max(1, times * days // self.language.at("days")[each["unit"]]) if each and days else times
        every = past._every()
        if days is None and (rate or every):  # a habit: "who buy wine every week and will stop"
            days = max(ACTIVE_DAYS, rate[1] if rate else every or 0)
        if rate and days and not (times or on_days):
            times = max(1, rate[0] * days // rate[1])
        if every and days and not (times or on_days):
            on_days = max(1, days // every)
        returned = not is_all and past._take("acts", "returned") is not None
        is_some = limit is not None and limit.least == 1
        if limit and limit.least and not is_some:
            times, on_days = (times, limit.least) if limit.on_days else (limit.least, on_days)
            notes = (*notes, f"“{limited.manner[-1].strip()}”: of what was done before no upper limit is used beside a lower one")
        elif limit:
            negated, least = not negated, limit.most + 1
            times, on_days = (times, least) if limit.on_days else (least, on_days)
        return Before(
            past.text,
            days,
            negated,
            False,
            is_all,
            times,
            on_days,
            in_total,
            returned,
            words,
            unheeded,
            never,
            is_ever=never or (limit is not None and not unit),
            is_some=is_some,
            is_who=name == "before_noun" and not unit,
            notes=notes,
        )

    def _parted(self, match: re.Match[str], name: str) -> tuple[str, str, str] | None:
        """Who is meant, the clause about the past, and what is asked; None where there is no such clause."""
        at = lambda key: self.language.pattern("acts", key)  # noqa: E731
        starts = list(at("clause_start").finditer(self.text[: match.start()]))
        if not starts or name == "before_noun":
            return self._of_noun(match) if not starts and name != "before_past" else None
        start = starts[-1]
        who, clause, rest = self.text[: start.start()], self.text[start.end() : match.start()].strip(), self.text[match.end() :]
        question = ""
        parts = list(at("clause_parts").finditer(f"{clause} "))
        if parts and name == "before":  # "who will leave and bought gold last month": what is asked stands first
            first, last = clause[: parts[-1].start()], clause[parts[-1].end() :]
            is_told = bool(at("clause_joint").groupindex) or self._is_past(last)
            if first and is_told and not self._is_past(first):
                question, clause = first, last
        joint = at("clause_joint").match(rest)
        if joint:  # where the verb is last, the clause goes on behind its time
            clause, rest = f"{clause} {joint.groupdict().get('tail') or ''}".strip(), rest[joint.end() :]
        elif "tail" in at("clause_joint").groupindex:
            clause, rest = f"{clause} {rest}".strip(), ""
        if name == "before_past" and not self._is_past(clause):
            return None
        if not clause and (parts := list(at("clause_parts").finditer(rest))) and self._is_past(rest[: parts[0].start()]):
            clause, rest = rest[: parts[0].start()].strip(), rest[parts[0].end() :]  # "who in the last week bought gold and …"
        rest = f"{question} {rest}".strip()
        if not rest and at("clause_asks").search(who):  # "who will leave who bought gold last month"
            people = at("clause_start").search(who)
            who, rest = (who[: people.start()], who[people.end() :]) if people else ("", who)
        return who, clause, rest

    def _but_not(self, clause: str) -> tuple[str, str]:
        """A clause without its last part, and that part, where it alone is denied: "bought gold but no silver"."""
        parts = list(self.language.pattern("acts", "clause_parts").finditer(clause))
        if not parts or self.language.pattern("acts", "clause_not").search(clause[: parts[-1].start()]):
            return clause, ""
        return clause[: parts[-1].start()], clause[parts[-1].start() :].strip(" ,")

    def _is_past(self, clause: str) -> bool:
        """Whether a clause says what was done."""
        return any(self.language.pattern("acts", name).search(clause) for name in ("past", "clause_past"))

    def _of_noun(self, match: re.Match[str]) -> tuple[str, str, str] | None:
        """As `_parted`, where no verb but a noun says it: "accounts with failed invoices last month that will leave"."""
        before, after = self.text[: match.start()], self.text[match.end() :]
        if not match.groupdict().get("unit") and not self.language.pattern("acts", "clause_with").search(before):
            return None
        people = re.match(rf"\s*(?:[\w-]+\s+){{0,2}}?(?:{self.language.people})\b", before)
        start = self.language.pattern("acts", "clause_start").search(after)
        if not people and (joint := self.language.pattern("acts", "clause_with").search(before)):
            people = re.match(r".{1,40}$", before[: joint.start()])
        if not people or self.language.pattern("acts", "clause_asks").search(before):
            return None
        does = any(verb in people[0].split() for verbs in self.language.kinds.values() for verb in verbs)
        clause = before if does else before[people.end() :]
        if start:
            clause, rest = f"{clause} {after[: start.start()].strip(' ,')}", after[start.end() :]
        else:
            rest = after
        return people[0], clause.strip(), rest.strip(" ,")

    def _times(self) -> int | None:
        """How many times it is to be done, in numbers or in words such as "often"."""
        number = self._count("times")
        words = self.language.at("acts", "times_words").items()
        return number if number is not None else next((n for pattern, n in words if self._cut(re.compile(pattern))), None)

    def _negated(self) -> bool:
        """Whether all that is said of the people is that they will not."""
        match = self._find("acts", "not")
        if not match or self._names_something(match["who"]):
            return False
        kept = match.groupdict().get("object") or ""
        self.text = f"{match['who']} {match['pronoun']} {kept} {self.text[match.end() :]}"
        return True

    def _names_something(self, text: str) -> bool:
        content = self.language.content
        dull = {*content["audience"], *content["grammar"], *content["acts"]["general"][""]}
        names = [word for word in re.findall(r"[\w'-]+", text) if word not in dull]
        verbs = {verb for verbs in self.language.kinds.values() for verb in verbs}
        people = set(content["acts"]["people"])  # one word alone is a word for people
        return len(names) > 1 or any(word in verbs and word not in people for word in re.findall(r"[\w'-]+", text))

    def _count(self, name: str) -> int | None:
        return self._number(self._take("acts", name))

    def _number(self, match: re.Match[str] | None) -> int | None:
        """The number that a match asks for at least."""
        if not match:
            return None
        more = self.language.pattern("acts", "more_than").match(match.groupdict().get("over") or match[0].strip())
        return self.language.value(match["number"].strip()) + bool(more)

    def _nth(self) -> tuple[int, str] | None:
        """Which time it is that is asked for, and the words that say so."""
        match = self._take("acts", "nth")
        return (self.language.at("acts", "ordinals")[match["nth"]], match[0].strip()) if match else None

    def _share(self) -> float | None:
        match = self._take("acts", "share")
        if not match:
            return None
        if match["percent"]:
            return min(1.0, max(0.01, int(match["percent"]) / 100))
        return 0.5 if match["half"] else 1 / 3 if match["third"] else 0.25
