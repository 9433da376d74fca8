"""Outgoing HTTP with the functions of `requests`: `from miqro_sdk import http as requests`.

    answer = http.get("http://router.example/cgi-bin/sms_list", params={"username": "user1"}, timeout=10)
    answer.raise_for_status()
    publish("messages", answer.text)

`wit/app.wit` has to import `wasi:http/outgoing-handler@0.2.0`, and the section of the service to grant the host: `grants: {http:
["router.example"]}`. The service handles nothing else while it waits. A request is sent at once and stays sent when the call fails
later. Redirects are responses like others: they are not followed.
"""

import base64
import json as _json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from .. import _host
from . import exceptions
from ._exchange import Exchange, Limits
from ._response import Response
from .exceptions import ConnectionError, ConnectTimeout, HTTPError, InvalidURL, JSONDecodeError, ReadTimeout, RequestException, Timeout

if _host.WORLD is object:
    from ..testing.bindings import exchange
else:
    from ._outgoing import exchange

Params = Mapping[str, Any] | Iterable[tuple[str, Any]] | str | None
# Seconds for each part of the exchange, or those for the connection and those for the rest.
Span = float | tuple[float | None, float | None] | None

# The characters of a path and of a query that stay as they are.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


def request(
    method: str,
    url: str,
    params: Params = None,
    data: Mapping[str, Any] | str | bytes | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    timeout: Span = None,
) -> Response:
    """Sends a request and waits for its response. `timeout` is in seconds, for each part of the exchange; 60 without it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidURL(f"expected an address such as http://router.example/path, found {url.split('?')[0]!r}")
    fields = {name.lower(): value for name, value in (headers or {}).items()}
    body, kind = _body(data, json)
    if kind is not None:
        fields.setdefault("content-type", kind)
    if body or method.upper() in ("POST", "PUT", "PATCH"):
        fields["content-length"] = str(len(body))
    if auth is None and parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    if auth is not None:
        fields["authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()

    query = "&".join(part for part in (quote(parts.query, _SAFE), _query(params)) if part)
    target = (quote(parts.path, _SAFE) or "/") + (f"?{query}" if query else "")
    authority = parts.netloc.rpartition("@")[2]
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    sent = Exchange(method.upper(), parts.scheme, authority, target, list(fields.items()), body, Limits(connect, read))
    status, answered, content = exchange(sent)
    return Response(status, f"{parts.scheme}://{authority}{target}", answered, content)


def get(url: str, params: Params = None, **options: Any) -> Response:
    """Asks for something. Options are those of `request`."""
    return request("GET", url, params=params, **options)


def head(url: str, **options: Any) -> Response:
    """Asks for the headers alone."""
    return request("HEAD", url, **options)


def post(url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
    """Hands something over. Options are those of `request`."""
    return request("POST", url, data=data, json=json, **options)


def put(url: str, data: Any = None, **options: Any) -> Response:
    """Puts something in the place of the address."""
    return request("PUT", url, data=data, **options)


def patch(url: str, data: Any = None, **options: Any) -> Response:
    """Changes a part of the thing at the address."""
    return request("PATCH", url, data=data, **options)


def delete(url: str, **options: Any) -> Response:
    """Removes the thing at the address."""
    return request("DELETE", url, **options)


def _body(data: Any, json: Any) -> tuple[bytes, str | None]:
    """The body and its media type."""
    if isinstance(data, bytes):
        return data, None
    if isinstance(data, str):
        return data.encode(), None
    if data is not None:
        return _query(data).encode(), "application/x-www-form-urlencoded"
    if json is not None:
        return _json.dumps(json, allow_nan=False).encode(), "application/json"
    return b"", None


def _query(params: Params) -> str:
    if params is None or isinstance(params, str):
        return quote(params or "", _SAFE)
    pairs = params.items() if isinstance(params, Mapping) else params
    return urlencode([(name, value) for name, value in pairs if value is not None], doseq=True)


__all__ = [
    "ConnectTimeout", "ConnectionError", "HTTPError", "InvalidURL", "JSONDecodeError", "ReadTimeout", "RequestException", "Response",
    "Timeout", "delete", "exceptions", "get", "head", "patch", "post", "put", "request",
]
