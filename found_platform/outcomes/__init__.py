"""The outcome: the one statement of what is wanted. Rewriters make it, people edit it, replay answers it, lift judges by it.

What belongs here: what can be asked of a log of events, as data; its YAML; and its wording for a person. What does not: reading
sentences (`rewriting`), and answering (`scoring`).
"""

from found_platform.outcomes.document import as_yaml, load, parse, read
from found_platform.outcomes.outcome import RANKS, Act, Among, Outcome, Statement
from found_platform.outcomes.wording import describe, in_full

__all__ = ["RANKS", "Act", "Among", "Outcome", "Statement", "as_yaml", "describe", "in_full", "load", "parse", "read"]
