"""Which deployments are marked. A mark stays with its deployment, wherever its row goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence


class Marks:
    """Keys, and the one from which a range is drawn."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self._anchor: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """In the order in which they were marked."""
        return tuple(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def restore(self, keys: Sequence[str]) -> None:
        """Have exactly these marked."""
        self._keys, self._anchor = dict.fromkeys(keys), None

    def toggle(self, key: str) -> None:
        """Mark it, or take its mark away."""
        self._anchor = key
        if key in self._keys:
            del self._keys[key]
        else:
            self._keys[key] = None

    def extend(self, key: str, shown: Sequence[str]) -> None:
        """Mark everything from the last one that was marked up to `key`, as it is shown."""
        if self._anchor not in shown:
            self._anchor = key
        first, last = sorted((shown.index(self._anchor or key), shown.index(key)))
        self._keys |= dict.fromkeys(shown[first : last + 1])

    def toggle_all(self, shown: Sequence[str]) -> None:
        """Mark all that is shown; when all of it is marked, none."""
        if all(key in self._keys for key in shown):
            self.drop(shown)
        else:
            self._keys |= dict.fromkeys(shown)

    def drop(self, keys: Collection[str]) -> None:
        """Take their marks away."""
        for key in keys:
            self._keys.pop(key, None)

    def keep_only(self, existing: Collection[str]) -> bool:
        """Forget what is not there any more; True when there was such a thing."""
        gone = [key for key in self._keys if key not in existing]
        self.drop(gone)
        return bool(gone)

    def clear(self) -> None:
        self._keys.clear()
        self._anchor = None
