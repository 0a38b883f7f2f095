"""The small shop in which the tests of the rewriter look for what a demand names."""

import datetime as dt
import re
from pathlib import Path

import numpy as np
from conftest import at, lake_of, write_source

from found_platform.settings import Settings
from found_platform.training_data import text_vectors

CUTOFF = dt.date(2024, 2, 1)
SHOP = {
    "wealth": ["gold ring", "gold necklace", "gold bar 10g", "silver bar", "silver ingot", "index fund", "savings plan"],
    "family": ["baby formula", "newborn diapers", "wet wipes for babies", "pushchair", "board game", "dollhouse"],
    "pets": ["dry dog food", "wet cat food", "cat litter", "dog leash"],
    "mobility": ["winter tyres", "engine oil", "petrol", "diesel", "metro day pass", "bus ticket"],
    "travel": ["flight ticket", "hotel night", "city break", "long-haul flight"],
    "daily": ["whole milk", "sourdough bread", "frozen pizza", "ground coffee", "bananas", "mineral water"],
    "style": ["jeans", "winter coat", "running shoes", "business suit", "perfume"],
    "learning": ["language course", "coding course", "driving lessons", "crime novel", "cookbook"],
}
LATER = "zeppelin flight over the lake"
MAILED = "saddle for horse riding"


GERMAN = {
    "Schmuck": ["Goldring", "Goldkette", "Goldarmband", "Silberring", "Silberkette"],
    "Tierbedarf": ["Katzenstreu", "Katzenfutter", "Hundefutter", "Hundeleine"],
    "Lebensmittel": ["Kaffeebohnen", "Filterkaffee", "Vollmilch", "Roggenbrot", "Apfelsaft"],
    "Reisen": ["Flugticket", "Hotelübernachtung", "Städtereise", "Bahnfahrkarte"],
    "Mode": ["Wintermantel", "Laufschuhe", "Jeanshose", "Parfüm"],
    "Baby": ["Windeln", "Babynahrung", "Kinderwagen"],
}


def documented(table: int) -> list[tuple[str, str]]:
    """Demands and outcomes as a table of docs/outcomes.md has them: 0 is of this shop, 1 of the German one."""
    page = Path(__file__).resolve().parents[1] / "docs" / "outcomes.md"
    tables = page.read_text(encoding="utf-8").split("| demand | outcome |")[1:]
    return re.findall(r"^\| (.+?) \| `(.+)` \|$", tables[table], re.M)


def shop_in(folder: Path, goods: dict[str, list[str]] = SHOP) -> Settings:
    """A small lake whose texts are encoded by the bundled encoder; one text is of after the cutoff, one was only mailed."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(40):
        for _ in range(10):
            category = str(rng.choice(list(goods)))
            items = rng.choice(goods[category], 2, replace=False)
            day = f"2024-01-{1 + int(rng.integers(31)):02d}"
            for item in map(str, items):
                row = {"user_id": f"u{user}", "event_time": at(day), "text": item, "category": category}
                events.append({**row, "amount": 10.0})
                events.append({**row, "channel": "search", "category": None})
    events.append({"user_id": "u1", "event_time": at("2024-02-03"), "text": LATER, "category": "travel"})
    events.append({"user_id": "u1", "event_time": at("2024-01-05"), "channel": "spm", "text": MAILED, "exposure": True})
    settings = lake_of(folder / "home", write_source(folder, events), encoder="offline-text")
    settings.keep()
    text_vectors.encode(settings, dt.date(2024, 3, 1))
    return settings
