"""Exceptions of requests. They do not show the query of an address, which may hold a password."""


class RequestException(OSError):
    """A request without a response, or with one of an error."""


class HTTPError(RequestException):
    """A response whose status is an error."""


class ConnectionError(RequestException):
    """No connection, or no grant for the host."""


class Timeout(RequestException):
    """No response in time."""


class ConnectTimeout(ConnectionError, Timeout):
    """No connection in time."""


class ReadTimeout(Timeout):
    """A connection, and no response in time."""


class InvalidURL(RequestException, ValueError):
    """Not an address of HTTP."""


class JSONDecodeError(RequestException, ValueError):
    """A body that is not JSON."""
