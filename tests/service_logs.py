"""Logs of services, of the form of those in five_logs.py, which makes grounds of them: streaming, rides, a clinic, food delivery,
a gym, a game, a charity, an insurer, an energy supplier, a job board, a newspaper, and a German insurer."""

from typing import Any

LOGS: dict[str, dict[str, dict[str, list[str]]]] = {
    "streaming": {
        "purchase": {
            "subscription": ["basic plan renewal", "premium plan renewal", "family plan renewal"],
            "rentals": ["movie rental", "live sports pass"],
        },
        "click": {
            "series": ["crime drama episode", "comedy episode", "documentary episode", "kids cartoon episode"],
            "films": ["horror film", "romantic film", "action film"],
            "account": ["playback failed", "profile created", "subscription cancelled", "subscription paused", "watchlist added"],
        },
        "search": {"": ["korean drama", "football live", "how to cancel"]},
    },
    "rides": {
        "purchase": {
            "rides": ["airport ride", "city ride", "shared ride", "night ride"],
            "scooters": ["scooter rental", "bike rental"],
            "fees": ["cancellation fee", "cleaning fee", "driver tip"],
        },
        "click": {"": ["ride rated one star", "ride rated five stars", "promo code entered", "payment failed", "driver not found"]},
        "search": {"": ["airport", "train station"]},
    },
    "clinic": {
        "purchase": {
            "care": [
                "dental cleaning",
                "eye examination",
                "flu vaccination",
                "blood test",
                "physiotherapy session",
                "skin cancer screening",
            ],
            "private": ["tooth whitening", "contact lenses"],
        },
        "click": {
            "": ["appointment booked", "appointment rescheduled", "lab result viewed", "reminder confirmed", "message to doctor"]
        },
        "search": {"": ["back pain", "paediatrician", "opening hours"]},
    },
    "food": {
        "purchase": {
            "meals": ["pizza margherita", "sushi set", "burger menu", "vegan bowl", "chicken curry", "kebab"],
            "groceries": ["soft drinks", "ice cream", "beer crate"],
            "fees": ["delivery fee", "delivery pass monthly"],
        },
        "click": {"": ["voucher redeemed", "refund requested", "order rated", "late delivery reported", "live chat started"]},
        "search": {"": ["sushi", "gluten free", "halal"]},
    },
    "gym": {
        "purchase": {
            "membership": ["monthly membership fee", "annual membership fee", "day pass"],
            "extras": ["personal training session", "protein shake", "sauna entry", "towel rental"],
        },
        "click": {
            "": [
                "check-in",
                "yoga class booked",
                "spinning class booked",
                "class cancelled",
                "membership frozen",
                "membership upgraded",
            ]
        },
        "browsing": {"": ["class timetable", "cancellation form", "price list"]},
    },
    "games": {
        "purchase": {"shop": ["gem pack small", "gem pack large", "battle pass", "character skin", "starter bundle"]},
        "click": {
            "": [
                "level completed",
                "level failed",
                "guild joined",
                "guild left",
                "rewarded ad watched",
                "daily login",
                "tutorial completed",
            ]
        },
    },
    "charity": {
        "purchase": {
            "donation": ["monthly gift", "one-off gift", "emergency appeal gift", "child sponsorship", "legacy pledge"],
            "events": ["charity run entry", "gala ticket"],
        },
        "click": {"": ["petition signed", "newsletter opened", "direct debit cancelled", "volunteer sign-up"]},
    },
    "insurer": {
        "purchase": {
            "premiums": ["car insurance premium", "home insurance premium", "travel insurance premium", "pet insurance premium"],
            "options": ["legal cover add-on", "breakdown cover"],
        },
        "click": {
            "claims": ["claim filed", "claim rejected", "claim paid out", "complaint filed", "document uploaded"],
            "": ["quote requested", "policy cancelled", "call centre contacted", "card declined"],
        },
        "search": {"": ["how to cancel", "no claims bonus"]},
    },
    "energy": {
        "purchase": {"bills": ["electricity bill", "gas bill", "heat pump service", "solar panel installation", "wallbox"]},
        "click": {
            "": [
                "meter reading submitted",
                "tariff changed",
                "direct debit failed",
                "outage reported",
                "move reported",
                "hotline called",
            ]
        },
        "browsing": {"": ["green tariff page", "cancellation page", "smart meter page"]},
    },
    "jobs": {
        "purchase": {"ads": ["job advert standard", "job advert premium", "candidate database access"]},
        "click": {
            "": [
                "application submitted",
                "job saved",
                "CV uploaded",
                "job alert created",
                "interview accepted",
                "interview declined",
                "salary report opened",
            ]
        },
        "search": {"": ["nurse", "software developer", "part-time jobs", "warehouse worker"]},
    },
    "news": {
        "purchase": {
            "subscriptions": ["digital subscription monthly", "print subscription monthly", "weekend subscription", "single issue"],
        },
        "click": {"": ["newsletter signup", "paywall hit", "article shared", "comment posted", "subscription cancelled"]},
        "browsing": {"": ["politics article", "sports article", "finance article", "crossword", "obituaries"]},
    },
    "versicherung": {
        "purchase": {
            "Beiträge": ["Kfz-Beitrag", "Hausratbeitrag", "Reiseversicherung", "Rechtsschutzbeitrag", "Zahnzusatzbeitrag"],
        },
        "click": {
            "": [
                "Schaden gemeldet",
                "Schaden abgelehnt",
                "Vertrag gekündigt",
                "Angebot angefordert",
                "Hotline angerufen",
                "Beschwerde eingereicht",
                "Lastschrift geplatzt",
            ]
        },
        "search": {"": ["Sonderkündigungsrecht", "Zahnersatz"]},
    },
}

PROFILES: dict[str, dict[str, Any]] = {
    "streaming": {
        "attributes": {"country": ["DE", "GB", "US"], "plan": ["Basic", "Family", "Premium"]},
        "numbers": ["age"],
        "dates": ("signup_date",),
    },
    "rides": {
        "attributes": {"city": ["Berlin", "London", "Paris"]},
        "numbers": ["rating"],
        "payment_methods": ["cash", "card"],
        "statuses": ["completed", "cancelled"],
    },
    "clinic": {
        "attributes": {"gender": ["female", "male"], "insurance": ["private", "statutory"]},
        "numbers": ["age"],
        "statuses": ["attended", "no-show", "cancelled"],
    },
    "food": {
        "attributes": {"city": ["Leeds", "London", "York"]},
        "payment_methods": ["card", "cash", "paypal"],
        "statuses": ["delivered", "late", "refunded"],
        "returns": 15,
    },
    "gym": {
        "attributes": {"membership": ["annual", "monthly"], "club": ["Camden", "Soho"]},
        "numbers": ["age"],
        "flags": ("student",),
    },
    "games": {"attributes": {"platform": ["android", "ios"], "country": ["DE", "JP", "US"]}, "numbers": ["level"]},
    "charity": {
        "attributes": {"region": ["north", "south"], "channel": ["online", "street"]},
        "numbers": ["age"],
        "flags": ("gift_aid",),
        "statuses": ["collected", "failed"],
    },
    "insurer": {
        "attributes": {"region": ["north", "south"], "product": ["car", "home"]},
        "numbers": ["age"],
        "dates": ("renewal_date",),
        "statuses": ["paid", "declined"],
        "payment_methods": ["card", "direct debit"],
    },
    "energy": {
        "attributes": {"tariff": ["fixed", "green", "variable"], "region": ["north", "south"]},
        "numbers": ["kwh", "household_size"],
        "statuses": ["paid", "overdue"],
    },
    "jobs": {"attributes": {"industry": ["health", "IT", "logistics"]}, "numbers": ["employees"], "statuses": ["paid"]},
    "news": {"attributes": {"country": ["AT", "DE"], "plan": ["digital", "print"]}, "numbers": ["age"], "flags": ("newsletter",)},
    "versicherung": {
        "attributes": {"Geschlecht": ["männlich", "weiblich"], "Bundesland": ["Bayern", "Hessen"]},
        "numbers": ["Alter"],
        "statuses": ["bezahlt", "offen"],
    },
}
