"""Services as classes, as in MIQRO: a service ports by changing its imports."""

from typing import Any

from . import _messages
from ._registry import registry


class Service:
    """A service whose methods have the decorators. Its handlers get text where they name no other type.

        class Echo(Service):
            @handle("echo")
            def echo(self, payload):
                self.publish("echo_response", payload)

        Echo().run()
    """

    publish = staticmethod(_messages.publish)
    publish_json = staticmethod(_messages.publish_json)
    publish_json_keys = staticmethod(_messages.publish_json_keys)
    subscribe = staticmethod(_messages.subscribe)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Arguments are accepted for MIQRO's sake and ignored."""

    @property
    def service_config(self) -> dict[str, Any]:
        """The section of the service in `miqro.yml`."""
        return _messages.config()

    @property
    def service_name(self) -> str:
        """The name of the service."""
        return _messages.me().name

    def run(self) -> None:
        """Registers the methods that have decorators, in the order of the class."""
        names: dict[str, None] = {}
        for kind in reversed(type(self).__mro__):
            names.update(dict.fromkeys(vars(kind)))
        for name in names:
            if isinstance(getattr(type(self), name), property):
                continue
            method = getattr(self, name)
            for add in getattr(method, "_miqro", ()):
                add(method, True)


__all__ = ["Service", "registry"]
