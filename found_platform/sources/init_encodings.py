"""In which encoding a text was written that is not UTF-8: a guess by the bytes beyond ASCII and how they stand together.

What belongs here: the signs of an encoding in a block of bytes. What does not: byte order marks, which leave nothing to guess.
"""

import codecs
import re

TOGETHER = 2.5
"""From this mean length of runs of bytes beyond ASCII on, whole words are written in them: no Latin letters with accents."""
EVEN = 0.9
"""Share of runs of an even length from which on a sign takes two bytes."""
KANA = 0.15
"""Share of signs that are Japanese syllables, in any text that is Japanese."""
HANGUL = 0.95
CENTRAL = rb"[A-Za-z][\xb3\xb9\xbf\x9f\xbe][a-z]"
"""Letters such as those of Polish and Czech within words: in cp1252 these bytes are raised figures and signs."""


def encoding_of(block: bytes) -> str:
    """The likely encoding of bytes that are no UTF-8; `cp1252` where nothing speaks against it."""
    runs = re.findall(rb"[\x80-\xff]+", block)
    signs = sum(map(len, runs))
    if signs and sum(block.count(lead) for lead in (b"\x82", b"\x83")) > KANA * signs and _reads(block, "cp932"):
        return "cp932"
    if signs < TOGETHER * len(runs):
        return "cp1250" if re.search(CENTRAL, block) else "cp1252"
    if sum(len(run) % 2 == 0 for run in runs) < EVEN * len(runs):
        return "cp1251"
    leads = [lead for run in runs for lead in run[::2]]
    if sum(lead in (0xA4, 0xA5) for lead in leads) > KANA * len(leads) and _reads(block, "euc_jp"):
        return "euc_jp"
    if sum(0xB0 <= lead <= 0xC8 for lead in leads) > HANGUL * len(leads) and _reads(block, "cp949"):
        return "cp949"
    return "gb18030" if _reads(block, "gb18030") else "cp1252"


def _reads(block: bytes, encoding: str) -> bool:
    """Whether the bytes can be read so, up to a sign that the end of the block may cut."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(block)
    except UnicodeDecodeError:
        return False
    return True
