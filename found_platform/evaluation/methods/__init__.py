"""The methods that are compared: each is a module of this package, and a new one is one file more.

Each sees the same users and only what was known before the cutoff.
"""

import importlib
import pkgutil
from functools import cache

from found_platform.evaluation.methods.interface import FewShot, Method, MostLabels, Probe, Question, ZeroShot

__all__ = [
    "TASKS",
    "FewShot",
    "Method",
    "MostLabels",
    "Probe",
    "Question",
    "ZeroShot",
    "few_shot",
    "most_labels",
    "probes",
    "registry",
    "zero_shot",
]

TASKS: dict[type[Method], str] = {
    ZeroShot: "zero_shot",
    Probe: "linear_probe",
    FewShot: "few_shot",
    MostLabels: "most_labels",
}
"""The task of each kind of method."""


@cache
def registry() -> tuple[Method, ...]:
    """Every method: those that FOUND is compared with first, in the order of their modules."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    methods = [method for module in modules for method in getattr(module, "METHODS", ())]
    return tuple(sorted(methods, key=lambda method: method.own))


def zero_shot() -> tuple[ZeroShot, ...]:
    """The methods that score a demand without labels."""
    return tuple(method for method in registry() if isinstance(method, ZeroShot))


def probes() -> tuple[Probe, ...]:
    """The methods that a classifier is fitted for."""
    return tuple(method for method in registry() if isinstance(method, Probe))


def few_shot() -> tuple[FewShot, ...]:
    """The methods that are shown a few users and are no probes."""
    return tuple(method for method in registry() if isinstance(method, FewShot))


def most_labels() -> tuple[MostLabels, ...]:
    """The methods that see most of the labels."""
    return tuple(method for method in registry() if isinstance(method, MostLabels))
