"""Exchanges of a component, by `wasi:http`."""

import re
from typing import Any

from componentize_py_types import Err, Ok

from . import exceptions
from ._exchange import Exchange

try:
    from wit_world.imports import outgoing_handler, streams, types
except ImportError:
    raise ImportError("expected `import wasi:http/outgoing-handler@0.2.0;` in the world of wit/app.wit, which miqro_sdk.http needs") from None

# A longer body is an error: a service has little memory.
_LONGEST_BODY = 4 << 20
_CHUNK = 16 << 10
# The host takes up to this many bytes in one call.
_LONGEST_WRITE = 4096

_METHODS = {
    "GET": types.Method_Get, "HEAD": types.Method_Head, "POST": types.Method_Post, "PUT": types.Method_Put,
    "DELETE": types.Method_Delete, "OPTIONS": types.Method_Options, "PATCH": types.Method_Patch,
}
_TIMEOUTS = {
    "ConnectionTimeout": exceptions.ConnectTimeout, "ConnectionReadTimeout": exceptions.ReadTimeout,
    "HttpResponseTimeout": exceptions.ReadTimeout, "ConnectionWriteTimeout": exceptions.Timeout, "DnsTimeout": exceptions.ConnectTimeout,
}


def exchange(sent: Exchange) -> tuple[int, list[tuple[str, bytes]], bytes]:
    """Sends a request and waits for status, headers and body of its response."""
    try:
        request = _request(sent)
    except Err:
        raise exceptions.InvalidURL(f"{sent.place}: not a valid address, method or header") from None
    try:
        # without a body, nothing says that one of unknown length follows
        body = request.body() if sent.body else None
        future = outgoing_handler.handle(request, _options(sent))
        if body is not None:
            _write(body, sent.body)
        with future:
            return _response(sent, future)
    except Err as error:
        raise _exception(sent, error.value) from None


def _request(sent: Exchange) -> Any:
    fields = types.Fields.from_list([(name, value.encode("latin-1", errors="replace")) for name, value in sent.headers])
    request = types.OutgoingRequest(fields)
    method = _METHODS.get(sent.method)
    request.set_method(method() if method else types.Method_Other(sent.method))
    request.set_scheme(types.Scheme_Https() if sent.scheme == "https" else types.Scheme_Http())
    request.set_authority(sent.authority)
    request.set_path_with_query(sent.target)
    return request


def _options(sent: Exchange) -> Any:
    options = types.RequestOptions()
    connect, read = (None if limit is None else round(limit * 1_000_000_000) for limit in sent.limits)
    options.set_connect_timeout(connect)
    options.set_first_byte_timeout(read)
    options.set_between_bytes_timeout(read)
    return options


def _write(body: Any, content: bytes) -> None:
    try:
        with body.write() as stream:
            for start in range(0, len(content), _LONGEST_WRITE):
                stream.blocking_write_and_flush(content[start : start + _LONGEST_WRITE])
        types.OutgoingBody.finish(body, None)
    except Err:
        # a request that the host has refused takes no body: its response says why
        pass


def _response(sent: Exchange, future: Any) -> tuple[int, list[tuple[str, bytes]], bytes]:
    with future.subscribe() as answered:
        answered.block()
    outcome = future.get()
    # the outer result is about whether the response was taken before
    outcome = outcome.value if isinstance(outcome, Ok) else outcome
    if not isinstance(outcome, Ok):
        raise _exception(sent, getattr(outcome, "value", None))
    with outcome.value as response:
        with response.headers() as fields:
            headers = list(fields.entries())
        return response.status(), headers, _read(sent, response)


def _read(sent: Exchange, response: Any) -> bytes:
    content = bytearray()
    with response.consume() as body, body.stream() as stream:
        while True:
            try:
                content += stream.blocking_read(_CHUNK)
            except Err as error:
                if isinstance(error.value, streams.StreamError_Closed):
                    return bytes(content)
                cause = getattr(error.value, "value", None)
                raise _exception(sent, cause and types.http_error_code(cause)) from None
            if len(content) > _LONGEST_BODY:
                raise exceptions.RequestException(f"{sent.place}: the response is longer than {_LONGEST_BODY >> 20} MiB")


def _exception(sent: Exchange, code: Any) -> exceptions.RequestException:
    """The exception for an error of `wasi:http`, in the words of its name."""
    case = type(code).__name__.rpartition("_")[2] if code is not None else "ConnectionTerminated"
    if case == "HttpRequestDenied":
        return exceptions.ConnectionError(f"{sent.place}: not granted; grants.http of the service has to name {sent.authority}")
    words = re.sub(r"(?<=.)([A-Z])", r" \1", case).lower()
    detail = getattr(code, "value", None)
    if isinstance(detail, str):
        words = detail
    return _TIMEOUTS.get(case, exceptions.ConnectionError)(f"{sent.place}: {words}")
