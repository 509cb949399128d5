"""How often the platforms are looked at: seldom while nobody looks at the screen."""

from __future__ import annotations

RESTING_SECONDS = 30.0
"""Between two looks at a platform where nothing is under way, while it rests."""
RESTING_FIGURES_SECONDS = 300.0
"""Between two questions for its figures then. They are asked for since the last time: none is lost."""


class Pace:
    """Handed to the workers by whoever knows whether somebody looks; they go by it from turn to turn."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """Between two looks at a platform while somebody looks."""
        self.rests = False

    @property
    def fresh_seconds(self) -> float:
        """Up to which age a list is no older than it has to be: three looks, or one and a half at rest."""
        return max(3 * self.seconds, 1.5 * RESTING_SECONDS if self.rests else 0.0)
