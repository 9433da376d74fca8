"""Errors of the host. The text says what was refused and what would allow it."""


class Error(Exception):
    """The host refused a call, or could not carry it out."""


class InvalidTopic(Error):
    """Not a topic name or not a topic filter."""


class Denied(Error):
    """Outside of the service's base topic and not granted."""


class InvalidProperty(Error):
    """A property that MQTT cannot carry."""


class LimitExceeded(Error):
    """More than a limit of the service allows."""


class Unavailable(Error):
    """The host is not connected, or not with MQTT 5, or its database cannot be read."""


class TimedOut(Error):
    """No answer came in time."""


class StateError(Error):
    """An invalid key."""


class TimersError(Error):
    """Not a valid timer."""


_BY_CASE = {
    "InvalidTopic": InvalidTopic,
    "Denied": Denied,
    "InvalidProperty": InvalidProperty,
    "Limit": LimitExceeded,
    "Unavailable": Unavailable,
    "TimedOut": TimedOut,
    "InvalidKey": StateError,
    "Invalid": TimersError,
}


def from_host(value: object) -> Error:
    """The exception for an error of the contract: a variant with a text, or with another variant inside."""
    inner = getattr(value, "value", None)
    case = type(value).__name__.rpartition("_")[2]
    if case == "Refused" and not isinstance(inner, str):
        return from_host(inner)
    text = "no answer came in time" if case == "TimedOut" else str(inner if inner is not None else value)
    return _BY_CASE.get(case, Error)(text)
