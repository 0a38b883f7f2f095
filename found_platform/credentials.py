"""Secrets that stand in an address itself: a user or password, a token beside it.

What belongs here: seeing them. What does not: what is said and done then.
"""

import re

NAMES = re.compile(r"pass|pwd|secret|token|key|credential|sas|signature", re.IGNORECASE)
"""Names of options and parameters whose value opens something."""

LOGIN = re.compile(r"//[^/?#]*@")
PARAMETER = re.compile(r"[?&;#]([^=?&;#/]+)=([^?&;#]+)")
SHORT = ("sig", "code")
"""What clouds call the signature in an address that opens something by itself."""

VARIABLE = re.compile(r"\$\{(\w+)\}")
"""How the environment's variable is named in place of a secret."""


def kind(address: str) -> str | None:
    """The secret in an address, in words; None where it holds none, or names variables in their place."""
    if LOGIN.search(address):
        return "a user or a password"
    for name, value in PARAMETER.findall(address):
        if (NAMES.search(name) or name.lower() in SHORT) and not VARIABLE.fullmatch(value):
            return f"a secret ({name}=…)"
    return None
