"""How much of a benchmark is run."""

from collections.abc import Collection
from dataclasses import dataclass

from found_platform.errors import BadInput
from found_platform.evaluation import methods
from found_platform.evaluation.methods import FewShot, Method, Probe, ZeroShot
from found_platform.evaluation.scenario import Scenario

SEEDS = 5
FEW_SHOT = "few_shot"
"""What all heads of few users are called where methods are chosen by name."""
ORACLE = "oracle"


@dataclass(frozen=True)
class Extent:
    """What is run.

    Attributes:
        methods: by name; `few_shot` is all heads of few users. None takes all.
        scenarios: by name; None takes all.
        few_shot: heads of a few users too; they start from the scores of `auto`.
        splits: of the users of a probe.
        foldings: how often users are divided for methods that see most of the labels.
        training_seeds: with how many seeds FOUND is trained, the one that serves among them; each more is a training of its own.
        paraphrases: the demands in other words too.
        slow: methods that are trained before they can be asked, too.
    """

    methods: Collection[str] | None = None
    scenarios: Collection[str] | None = None
    few_shot: bool = True
    splits: int = SEEDS
    foldings: int = SEEDS
    training_seeds: int = 1
    paraphrases: bool = True
    slow: bool = True

    def includes(self, method: Method) -> bool:
        """Whether a method of the registry is run: where it is named, or where all are and it is not left out as slow."""
        if self.methods is not None:
            return method.name in self.methods
        return self.slow or not (isinstance(method, ZeroShot | Probe) and method.slow)

    @property
    def retrains(self) -> bool:
        """Whether models of other training seeds are asked for."""
        trained = (m for m in methods.registry() if isinstance(m, ZeroShot | Probe) and m.by_training_seed)
        return self.training_seeds > 1 and any(self.includes(method) for method in trained)

    @property
    def has_few_shot(self) -> bool:
        """Whether the heads of few users are run."""
        return FEW_SHOT in self.methods if self.methods is not None else self.few_shot

    @property
    def has_oracle(self) -> bool:
        """Whether the oracle has rows of its own."""
        return self.methods is None or ORACLE in self.methods

    def selection(self, scenarios: list[Scenario]) -> list[Scenario]:
        """The scenarios that are run."""
        return [s for s in scenarios if self.scenarios is None or s.name in self.scenarios]


TRAINING_SEEDS = 3
FULL = Extent(training_seeds=TRAINING_SEEDS)
QUICK = Extent(few_shot=False, splits=3, foldings=1, paraphrases=False, slow=False)
"""What a person who waits gets: a third of the time."""


def check_methods(names: Collection[str]) -> None:
    """Raises BadInput for the name of a method that there is not."""
    named = [method.name for method in methods.registry() if not isinstance(method, FewShot)]
    choices = dict.fromkeys([*named, ORACLE, FEW_SHOT])
    for name in names:
        if name not in choices:
            raise BadInput(f"There is no method {name!r} to compare: choose among {', '.join(choices)}.")


def check_scenarios(names: Collection[str], scenarios: list[Scenario]) -> None:
    """Raises BadInput for the name of a scenario that there is not."""
    choices = [scenario.name for scenario in scenarios]
    for name in names:
        if name not in choices:
            raise BadInput(f"There is no scenario {name!r} with labels at this cutoff: choose among {', '.join(choices)}.")
