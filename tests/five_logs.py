"""Five unlike logs in which tests look for what demands name: a grocery, a bank, a SaaS product, a travel site, a telecom; and a
grocery whose texts are German. Grounds are made in memory: the reading of demands needs no home."""

import datetime as dt
from functools import cache
from typing import Any

import numpy as np
import service_logs

from found_platform.rewriting import ground
from found_platform.rewriting.ground import Ground
from found_platform.training_data import text_vectors

CUTOFF = dt.date(2024, 6, 10)
FIRST = dt.date(2022, 1, 3)

# by the kind of act: categories with their texts
LOGS: dict[str, dict[str, dict[str, list[str]]]] = {
    "grocery": {
        "purchase": {
            "dairy": ["whole milk", "skimmed milk", "natural yoghurt", "salted butter", "cheddar cheese"],
            "medicine": ["cough syrup", "cough drops", "cold and flu tablets", "headache tablets", "nasal spray"],
            "tea and coffee": ["green tea", "herbal tea", "black tea bags", "ground coffee", "instant coffee"],
            "alcohol": ["red wine", "white wine", "lager beer", "alcohol free beer"],
            "baby": ["newborn diapers", "baby formula", "baby wipes"],
            "pets": ["dry dog food", "wet cat food", "cat litter"],
            "produce": ["bananas", "organic apples", "baby spinach", "cherry tomatoes"],
            "meat": ["beef steak", "chicken breast", "pork sausages", "vegetarian sausages"],
            "bakery": ["sourdough bread", "gluten free bread", "birthday cake"],
        },
        "search": {"": ["organic apples", "gluten free bread", "delivery slots"]},
        "browsing": {"": ["weekly offers", "recipes"]},
    },
    "bank": {
        "purchase": {
            "transfer": ["international transfer", "standing order rent", "transfer to savings account"],
            "card": ["card payment supermarket", "card payment restaurant", "cash withdrawal", "card payment online casino"],
            "credit": ["mortgage instalment", "consumer loan instalment", "credit card fee", "overdraft interest"],
            "insurance": ["life insurance premium", "household insurance premium"],
            "investment": ["stock purchase", "bond purchase", "gold coin purchase", "fund savings plan"],
        },
        "click": {"": ["login mobile banking", "mortgage calculator opened", "card blocked"]},
        "search": {"": ["interest rates", "exchange rates"]},
    },
    "saas": {
        "purchase": {"billing": ["invoice Pro plan", "invoice Enterprise plan", "invoice Starter plan", "seat add-on"]},
        "click": {
            "product": ["login", "project created", "teammate invited", "report exported", "api key created", "dashboard shared"],
            "support": ["support ticket opened", "support ticket closed", "bug reported"],
        },
        "browsing": {"": ["pricing page", "documentation", "changelog"]},
    },
    "travel": {
        "purchase": {
            "flights": ["flight to Lisbon", "flight to New York", "flight to Paris"],
            "hotels": ["hotel in Paris", "hotel in Rome", "beach resort in Greece"],
            "trips": ["river cruise", "ski holiday in Austria", "city break Vienna", "safari in Kenya"],
            "extras": ["car rental", "travel insurance", "airport parking", "extra luggage"],
        },
        "click": {"": ["basket abandoned", "boarding pass opened", "price alert set"]},
        "search": {"": ["flights to Lisbon", "cheap hotels in Rome", "family holidays"]},
        "browsing": {"": ["last minute deals", "ski holidays", "cruises"]},
    },
    "telecom": {
        "purchase": {
            "bills": ["mobile phone bill", "broadband bill", "late payment fee"],
            "prepaid": ["prepaid top-up 10", "prepaid top-up 25"],
            "packs": ["roaming pass Europe", "data pack 5 GB", "international calls pack"],
            "devices": ["smartphone Samsung Galaxy", "smartphone Apple iPhone", "tablet", "wifi router"],
            "contracts": ["fibre contract", "TV package", "SIM only contract"],
        },
        "click": {"": ["app opened", "hotline called", "speed test"]},
        "search": {"": ["cancel contract", "number porting"]},
        "browsing": {"": ["tariff comparison", "network coverage map"]},
    },
    "markt": {
        "purchase": {
            "Molkerei": ["Vollmilch", "Naturjoghurt", "Butter", "Bergkäse"],
            "Apotheke": ["Hustensaft", "Hustenbonbons", "Kopfschmerztabletten", "Nasenspray"],
            "Heißgetränke": ["Kräutertee", "Grüner Tee", "Kaffeebohnen", "Filterkaffee"],
            "Getränke": ["Rotwein", "Weißwein", "Pils", "Alkoholfreies Bier", "Mineralwasser"],
            "Baby": ["Windeln", "Babynahrung"],
            "Tiere": ["Katzenfutter", "Hundefutter", "Katzenstreu"],
            "Backwaren": ["Roggenbrot", "Brötchen", "Geburtstagstorte"],
        },
        "click": {"": ["App geöffnet"]},
        "search": {"": ["Lieferzeiten"]},
    },
}

PROFILES: dict[str, dict[str, Any]] = {
    "grocery": {
        "attributes": {
            "gender": ["female", "male"],
            "loyalty_tier": ["basic", "gold", "platinum"],
            "city": ["Leeds", "London", "York"],
        },
        "numbers": ["age", "household_size"],
        "flags": ("newsletter",),
        "payment_methods": ["card", "cash", "voucher"],
        "statuses": ["delivered", "cancelled"],
        "returns": 40,
    },
    "bank": {
        "attributes": {"segment": ["business", "private", "retail"], "branch": ["Berlin", "Hamburg", "Munich"]},
        "numbers": ["birth_year", "annual_income"],
        "flags": ("has_mortgage",),
        "payment_methods": ["debit card", "credit card"],
        "statuses": ["completed", "declined"],
        "returns": 0,
    },
    "saas": {
        "attributes": {
            "plan": ["Enterprise", "Pro", "Starter"],
            "industry": ["education", "finance", "health care", "retail"],
            "country": ["DE", "GB", "US"],
        },
        "numbers": ["seats"],
        "dates": ("signup_date",),
        "statuses": ["paid", "failed", "overdue"],
        "returns": 0,
    },
    "travel": {
        "attributes": {
            "age_band": ["18-24", "25-34", "35-44", "45-54", "55-64", "65+"],
            "home_country": ["FR", "GB", "US"],
            "income_bracket": ["30-59K", "60-99K", "100K+", "Under 30K"],
            "kids_count": ["0", "1", "2", "3+"],
        },
        "flags": ("newsletter",),
        "payment_methods": ["paypal", "credit card"],
        "returns": 25,
    },
    "telecom": {
        "attributes": {"tariff": ["Basic", "Plus", "Unlimited"], "region": ["north", "south"]},
        "numbers": ["tenure_months"],
        "dates": ("date_of_birth",),
        "statuses": ["paid", "overdue"],
        "returns": 0,
    },
    "markt": {
        "attributes": {"Geschlecht": ["männlich", "weiblich"], "Stadt": ["Hamburg", "Köln", "München"]},
        "numbers": ["Alter"],
        "payment_methods": ["Karte", "Rechnung"],
        "returns": 12,
    },
}


@cache
def log(name: str) -> Ground:
    """The ground of one of the logs, or of those of services: all its texts are as frequent."""
    content, profile = (LOGS | service_logs.LOGS)[name], (PROFILES | service_logs.PROFILES)[name]
    encoder = text_vectors.encoder("offline-text")
    rows = [(text, category, kind) for kind, named in content.items() for category, texts in named.items() for text in texts]
    texts = list(dict.fromkeys(text for text, _, _ in rows))
    names = list(dict.fromkeys(category for _, category, _ in rows if category))
    encoded = encoder.encode(texts)
    centre = encoded.mean(0)
    vectors = ground.unit(encoded - centre)
    places_by_category = [[texts.index(text) for text, category, _ in rows if category == name] for name in names]
    contents = np.stack([vectors[places].mean(0) for places in places_by_category])
    category_vectors = (ground.unit(encoder.encode(names) - centre) + ground.unit(contents)) / 2
    kinds = {
        kind: np.array(
            [
                9 * any(row[at] == item and row[2] == kind for row in rows)
                for at, item in [(0, t) for t in texts] + [(1, c) for c in names]
            ]
        )
        for kind in ("purchase", "browsing", "click", "search")
    }
    given: dict[str, Any] = {"attributes": {}, "numbers": [], "payment_methods": [], "statuses": [], "returns": 0}
    return Ground(
        encoder=encoder,
        items=texts + names,
        texts=len(texts),
        events=np.array([9] * len(texts) + [9 * len(places) for places in places_by_category]),
        kinds=kinds,
        vectors=np.concatenate([vectors, category_vectors]),
        centre=centre,
        today=CUTOFF,
        first=FIRST,
        **{**given, **profile},
    )
