"""One request, as it is sent."""

from typing import NamedTuple


class Limits(NamedTuple):
    """The longest waits in seconds: for the connection, and for each part of the response. `None`: the host's own."""

    connect: float | None
    read: float | None


class Exchange(NamedTuple):
    """A request."""

    method: str
    scheme: str
    authority: str
    # the path with the query
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    limits: Limits

    @property
    def url(self) -> str:
        """The address with its query."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def place(self) -> str:
        """The address without its query, for messages."""
        return self.url.partition("?")[0]
