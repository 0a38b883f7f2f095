"""Whether this machine has what a profile asks for: said before anything is read, from the configuration alone."""

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from found_platform import workers
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from found_platform.training_runs import needs
from found_platform.training_runs.configuration import TOWERS

if TYPE_CHECKING:
    from found_platform.training.machine import Needs


def check_models(settings: Settings) -> None:
    """Raises BadInput for a text model of the profile that is not on this machine."""
    towers = (settings.sizes.model.get(name) for name in TOWERS)
    for name in dict.fromkeys([settings.text_encoder, *(t["model"] for t in towers if t and t.get("model"))]):
        text_vectors.check_available(name)


def check(settings: Settings, columns: int, say: Callable[[str], object]) -> None:
    """Says what every stage of training needs, and whether the profile wants a GPU that is not here.

    Args:
        columns: attributes of the profile table; 0 leaves its stage out.
        say: is given the lines of a table.

    Raises BadInput for a text model that is not on this machine, and where a stage needs more memory than is free.
    """
    check_models(settings)
    from found_platform.training import machine
    from models.device import chosen_device

    device = chosen_device()
    free = machine.available(device)
    if settings.sizes.gpu and device != "cuda":
        say(f"The profile {settings.profile} is made for a GPU, and there is no CUDA here: its training will be slow.")
    say(f"  {'stage':<10}{'parameters':>15}{'trained':>15}{'weights':>13}{'activations':>13}  ({_size(free)} free)")
    refused = []
    anywhere, sizes = _question(settings)
    for name, stage in _begun(anywhere, sizes, columns, device)().items():  # pyright: ignore[reportArgumentType] (frozen: it hashes)
        weights, activations = _size(stage.bytes), _size(stage.activations)
        say(f"  {name:<10}{stage.parameters:>15,}{stage.trained:>15,}{weights:>13}{activations:>13}")
        if stage.bytes + stage.activations > free:
            refused.append(
                f"{name} needs {weights} for weights, gradients and optimiser state, and about {activations} for activations"
            )
    if refused:
        raise BadInput(
            f"The profile {settings.profile} does not fit this machine, where {device} has {_size(free)} free. Of its stages, "
            f"{'; '.join(refused)}. Choose a smaller profile or a larger machine; a smaller micro_batch lessens activations."
        )


def begin(settings: Settings, columns: int) -> None:
    """Has the needs of every stage found beside this process, where that can be: `check` of the same asks for them."""
    if workers.forks():
        from models.device import chosen_device

        _begun(*_question(settings), columns, chosen_device())  # pyright: ignore[reportArgumentType] (frozen: it hashes)


def _question(settings: Settings) -> tuple[Settings, str]:
    """Needs are those of any home with these settings."""
    sizes = settings.sizes.model_dump_json()  # read before the copy, which has them then, wherever it is sent to
    return settings.model_copy(update={"home": Path()}), sizes


@lru_cache(maxsize=4)
def _begun(settings: Settings, sizes: str, columns: int, device: str) -> "Callable[[], dict[str, Needs]]":
    return cache(workers.ahead(needs.of_stages, settings, sizes, columns, device))


def _size(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
