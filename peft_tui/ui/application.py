"""What a screen may rely on of the application that shows it, which is `peft_tui.app`."""

from __future__ import annotations

from collections.abc import Sequence

from textual.reactive import var

from peft_tui.ui.keys_in_order import KeysInOrder
from peft_tui.ui.notices import Notices
from peft_tui.ui.session import ViewKeeper
from peft_tui.ui.troubles import Troubles


class Application(KeysInOrder):
    """The part of it that screens ask or tell."""

    trouble: var[str] = var("")
    """Why nothing is being refreshed, in a few words; empty while all is well."""
    ready: var[bool] = var(False)
    """What the workers talk to is up; in the sandbox the credentials are there only then."""
    resting: var[bool] = var(False)
    """Nobody has looked for a while: where nothing is under way the platforms are looked at less often."""

    sandbox: bool
    ascii_only: bool
    notices: Notices
    """There once the store is."""
    troubles: Troubles

    def keeper(self, name: str) -> ViewKeeper:
        """What writes something down in the store; it ends with the application."""
        raise NotImplementedError

    def copy(self, text: str, what: str = "") -> None:
        """Into the clipboard; of `what` was copied it is said what can be said."""
        raise NotImplementedError

    def tell(self, sentences: Sequence[str]) -> None:
        """Bell and desktop notice, unless the person looks at this terminal or wants none."""
        raise NotImplementedError

    def show_overview(self) -> None:
        """Every deployment's figures side by side; where they stand open below, back to them."""
        raise NotImplementedError

    def go_to_sandbox(self) -> None:
        """Leave, and begin again in the sandbox."""
        raise NotImplementedError
