"""A host for native unit tests: `python -m unittest`. Contract and scenarios are tested by `miqro-host test`.

    from miqro_sdk.testing import TestHost

    host = TestHost()            # after the import of the service
    host.send("echo", "hello")
    assert host.published() == [("echo_response", b"hello")]
"""

from .bindings import TestHost

__all__ = ["TestHost"]
