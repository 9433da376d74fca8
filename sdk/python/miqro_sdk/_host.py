"""The functions of the contract: those of the component, or, in a native test, those of `miqro_sdk.testing`."""

import contextlib

from . import _errors

try:
    import wit_world  # noqa: F401
except ModuleNotFoundError:
    from .testing import bindings as _bindings

    config, log, messaging, state, timers = (
        _bindings.config, _bindings.log, _bindings.messaging, _bindings.state, _bindings.timers,
    )
    WORLD: type = object
    Err = _bindings.Err
else:
    from componentize_py_types import Err
    from wit_world.imports import config, log, messaging, state, timers

    WORLD = wit_world.WitWorld


@contextlib.contextmanager
def errors():
    """Errors of the contract as exceptions of this SDK."""
    try:
        yield
    except Err as error:
        raise _errors.from_host(error.value) from None
