"""Registries: the things of one kind by name, open to a user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Entry = TypeVar("Entry")
OWN = "your own are known once their module is imported, in commands by --import"
"""The end of the message that refuses a name."""


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The things of one kind by name, in the order in which they were registered.

    Args:
        kind: what they are, in the singular, for errors.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry.

        Raises:
            ValueError: the name is taken, or is no identifier.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"the name of a {self.kind} must be an identifier, got {name!r}")
        if name in self._entries:
            raise ValueError(f"a {self.kind} named {name!r} is registered already")
        self._entries[name] = entry

    def unregister(self, name: str) -> None:
        """Remove an entry.

        Raises:
            ValueError: there is none of that name.
        """
        self.lookup(name)
        del self._entries[name]

    def lookup(self, name: str) -> Entry:
        """The entry of a name that a user gave.

        Raises:
            ValueError: there is none; the message lists the names, and says how others come to be known.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise ValueError(f"{self.kind} must be one of {', '.join(self)}; got {name!r} ({OWN})")
        return self._entries[name]

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
