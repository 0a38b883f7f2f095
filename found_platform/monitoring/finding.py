"""A finding: something that a person should look at, in a sentence, with what to do next.

The doctor lists findings, and an alert is a finding that is sent. What belongs here: what one is. What does not: looking for them
(`found_platform.housekeeping.condition`, `dagster_defs.pulse`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: what was looked at, in a word or two: `disk`, `daemon`.
        problem: what is wrong, a sentence without its end.
        fix: the next step.
        key: of what is worth an alert: one key is sent once. A key without a moment in it is sent again once it had gone.
    """

    check: str
    problem: str
    fix: str
    key: str = ""
