"""What every use case is handed: of which home it is asked, by whom, and who is told how far it is."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from found_platform.app.progress import Listener, nobody
from found_platform.errors import BadInput
from found_platform.home import option as home_option
from found_platform.privacy.actor import Actor, account
from found_platform.settings import Settings

__all__ = ["Actor", "Context", "account", "home_option"]


@dataclass(frozen=True)
class Context:
    """Made anew for each request; a program that lives long makes many.

    Attributes:
        home: the folder of all state, as the person wrote it.
        actor: who asks. Every row of the audit names them.
        tell: called with each event of `progress`.
        reveal: whether the answer may name users by the ids of the source; else it has their pseudonyms, which are their keys.
            Files that are written for a person (exports) hold ids whatever this says.
        paths: whether sentences may say in which folder the home is.
    """

    home: Path
    actor: Actor
    tell: Listener = nobody
    reveal: bool = True
    paths: bool = True

    @cached_property
    def settings(self) -> Settings:
        """The settings of a home where something has run. Raises BadInput otherwise."""
        return Settings.load(self.existing)

    @property
    def existing(self) -> Path:
        """The home, where something has run in it. Raises BadInput otherwise."""
        if not (self.home / "source.yaml").exists():
            raise BadInput(f"Nothing has run in {self.home} yet: start with `found demo{home_option(self.home)}`.")
        return self.home

    def sentence(self, text: str) -> str:
        """A sentence without the folder of the home, for whom that is no business."""
        if self.paths:
            return text
        for folder in {str(self.home), str(self.home.resolve())} - {"."}:
            named = rf"(?<![\w./-]){re.escape(folder)}(?![\w.-]*\w)"
            text = re.sub(named, "this home", re.sub(rf" --home '?{named}'?", "", text))
        return text

    def display_name(self, user_id: str) -> str:
        """How the answer names a user of this id."""
        from found_platform.privacy import keys

        return user_id if self.reveal else keys.user_key(keys.home_secret(self.settings), user_id)
