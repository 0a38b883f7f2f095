"""Erasing persons: every store of a home is rewritten without them, every byte of it is searched, and a certificate says so.

`persons` is who; `needles` finds them in bytes; `lake_tables`, `published`, `files` and `databases` rewrite stores; `steps` is the
order; `proof` is the search; `erase` goes through it all and writes the certificate.
"""

from found_platform.erasure.erase import Certificate, erase

__all__ = ["Certificate", "erase"]
