"""What memory the stages of a profile need, found from the configuration alone, in a fork where there is one.

What belongs here: nothing that reads a lake, which the fork would load first. What does not: what is done about it (`preflight`).
"""

from typing import TYPE_CHECKING

from found_platform.contract import ACTIVITY_FEATURES
from found_platform.errors import BadInput
from found_platform.settings import Profile, Settings
from found_platform.training_runs.configuration import COMMANDS, model_config

if TYPE_CHECKING:
    from found_platform.training.machine import Needs

VALUES = 10
"""Values of a column of the profile table, which nobody has seen yet."""


def of_stages(settings: Settings, sizes: str, columns: int, device: str) -> "dict[str, Needs]":
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
        config = rebuild(model_config(settings, about))
        for name in COMMANDS:
            stage = getattr(profile, name)
            if name == "align" or getattr(config, name) is not None:
                needs[name] = rehearse(name, config, Options(**stage.options), stage.losses, device=device, **lengths)
    except (EncoderNotFound, TypeError, ValueError) as error:
        raise BadInput(f"The profile {settings.profile} cannot be trained: {str(error).rstrip('.')}.") from None
    return needs
