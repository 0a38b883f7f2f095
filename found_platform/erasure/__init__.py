"""Erasing persons: every store of a home is rewritten without them, every byte of it is searched, and a certificate says so.

`persons` is who; `needles` finds them in bytes; `lake_tables`, `published`, `files` and `databases` rewrite stores of the home,
`records` and `servers` those outside it; `steps` is the order; `proof` is the search; `erase` goes through it all and writes the
certificate. `kept` is the copy of everything on one person.
"""

from found_platform.erasure.erase import Certificate, certificates, erase
from found_platform.erasure.kept import Kept, kept

__all__ = ["Certificate", "Kept", "certificates", "erase", "kept"]
