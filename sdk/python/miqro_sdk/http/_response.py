"""The response to a request."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._convert import from_json
from . import exceptions


class Headers(Mapping[str, str]):
    """Headers by name, in any case. Those of one name are joined by commas."""

    def __init__(self, fields: list[tuple[str, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in fields:
            key, text = name.lower(), value.decode("latin-1")
            self._values[key] = f"{self._values[key]}, {text}" if key in self._values else text

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Response:
    """A response, with any status."""

    def __init__(self, status_code: int, url: str, headers: list[tuple[str, bytes]], content: bytes) -> None:
        self.status_code = status_code
        self.url = url
        self.headers = Headers(headers)
        self.content = content
        found = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""))
        self.encoding = found.group(1) if found else "utf-8"

    @property
    def ok(self) -> bool:
        """Whether the status is not an error."""
        return self.status_code < 400

    @property
    def text(self) -> str:
        """The body as text: in UTF-8, unless the header says otherwise. Invalid bytes are replaced."""
        try:
            return self.content.decode(self.encoding, errors="replace")
        except LookupError:
            return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The value of the body."""
        try:
            return from_json(self.text)
        except ValueError as error:
            raise exceptions.JSONDecodeError(f"{self._place}: {error}") from None

    def raise_for_status(self) -> None:
        """Raises `HTTPError` when the status is an error."""
        if not self.ok:
            raise exceptions.HTTPError(f"{self._place}: status {self.status_code}")

    @property
    def _place(self) -> str:
        return self.url.partition("?")[0]

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"
