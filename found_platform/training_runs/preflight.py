"""Whether this machine has what a profile asks for: said before anything is read, from the configuration alone."""

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from found_platform import workers
from found_platform.contract import ACTIVITY_FEATURES
from found_platform.errors import BadInput
from found_platform.settings import Profile, Settings
from found_platform.training_data import text_vectors
from found_platform.training_runs import stages

if TYPE_CHECKING:
    from found_platform.training.machine import Needs

VALUES = 10
"""Values of a column of the profile table, which nobody has seen yet."""


def check_models(settings: Settings) -> None:
    """Raises BadInput for a text model of the profile that is not on this machine."""
    towers = (settings.sizes.model.get(name) for name in stages.TOWERS)
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
    for name, needs in _begun(anywhere, sizes, columns, device)().items():  # pyright: ignore[reportArgumentType] (frozen: it hashes)
        weights, activations = _size(needs.bytes), _size(needs.activations)
        say(f"  {name:<10}{needs.parameters:>15,}{needs.trained:>15,}{weights:>13}{activations:>13}")
        if needs.bytes + needs.activations > free:
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
    return cache(workers.ahead(_needs, settings, sizes, columns, device))


def _needs(settings: Settings, sizes: str, columns: int, device: str) -> "dict[str, Needs]":
    """By stage. Histories are taken to be as long as the settings allow; a tower without weights here is sized by its config.

    Args:
        sizes: what the profile says, of which the settings hold the name alone: another content is another question.
    """
    from found_platform.training.loop import Options
    from found_platform.training.rehearsal import rehearse
    from models.found import rebuild
    from models.text_encoder import EncoderNotFound, architecture

    profile = Profile.model_validate_json(sizes)
    lengths = {"events": settings.sequence_length, "searches": settings.search_length}
    needs = {}
    try:
        about = {
            "encoder": settings.text_encoder,
            "encoder_revision": "",
            "text_dim": architecture(settings.text_encoder)["hidden_size"],
            "activity": len(ACTIVITY_FEATURES),
            "columns": [{"name": str(i), "edges": (), "values": ("",) * VALUES} for i in range(columns)],
        }
        config = rebuild(stages.model_config(settings, about))
        for name in stages.COMMANDS:
            stage = getattr(profile, name)
            if name == "align" or getattr(config, name) is not None:
                needs[name] = rehearse(name, config, Options(**stage.options), stage.losses, device=device, **lengths)
    except (EncoderNotFound, TypeError, ValueError) as error:
        raise BadInput(f"The profile {settings.profile} cannot be trained: {str(error).rstrip('.')}.") from None
    return needs


def _size(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
