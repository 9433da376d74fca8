"""An entity of any kind. A field becomes the member of the announcement that has its name, unless it is `None`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Union

from ._device import Device, clean_string

if TYPE_CHECKING:
    from .._service import Service

# Handlers of commands: called with the service and the payload.
Callback = Callable[..., Any] | None

_TOPIC = "_topic_postfix"


@dataclass(eq=False)
class EntityWithoutStateTopic:
    """An entity of a device, or of a service alone.

    Each field `x_topic_postfix` is a topic below the base topic of the service, and `x_callback` beside it handles its messages.
    """

    _component: ClassVar[str] = ""

    device: Device | None
    name: str
    display_name: str | None = None
    device_class: str | None = None
    enabled_by_default: bool | None = None
    entity_category: str | None = None
    expire_after: int | None = None
    force_update: bool | None = None
    icon: str | None = None
    default_entity_id: str | None = None
    qos: int | None = None
    unique_id: str | None = None
    service: Union["Service", None] = None
    json_attributes_topic_postfix: str | None = None
    json_attributes_template: str | None = None

    def __post_init__(self) -> None:
        if (self.device is None) == (self.service is None):
            raise ValueError(f"{self.name}: expected a device or a service, found {'none' if self.device is None else 'both'}")
        owner = clean_string(self.owner.SERVICE_NAME) if self.device is None else self.device.unique_id
        self.default_entity_id = self.default_entity_id or f"{self._component}.{clean_string(self.name)}"
        self.unique_id = self.unique_id or f"{owner}__{self.default_entity_id.replace('.', '_')}"

        for field, callback in list(vars(self).items()):
            if field.endswith("_callback") and callback is not None:
                topic = getattr(self, field.removesuffix("_callback") + _TOPIC)
                if not topic:
                    raise ValueError(f"{self.name}: expected {field.removesuffix('_callback') + _TOPIC} for {field}, found none")
                self.owner.add_handler(topic, callback)
        if self.device is not None:
            self.device.add_entity(self)
        else:
            self.owner.ha_entities.append(self)

    @property
    def owner(self) -> "Service":
        """The service that the entity belongs to, with or without a device."""
        owner = self.service if self.device is None else self.device.service
        assert owner is not None
        return owner

    def get_discover_payload(self) -> dict[str, Any]:
        """The announcement of the entity, or its part of that of the device."""
        payload: dict[str, Any] = {"platform": self._component}
        for field, value in vars(self).items():
            if value is None or field in ("device", "service") or field.startswith("_") or field.endswith("_callback"):
                continue
            if field.endswith(_TOPIC):
                payload[field.removesuffix("_postfix")] = self.owner.data_topic_prefix + value
            else:
                payload[field] = value
        return payload

    def publish_discovery(self, prefix: str) -> None:
        """Publishes the announcement of an entity without device, retained, below `prefix`."""
        if self.device is not None:
            raise ValueError(f"{self.name}: expected an entity without device, which is announced alone")
        topic = f"{prefix}/{self._component}/{self.unique_id}/config"
        self.owner.publish_json(topic, self.get_discover_payload(), qos=1, retain=True, global_=True)


@dataclass(eq=False, kw_only=True)
class Entity(EntityWithoutStateTopic):
    """An entity with a state. `Service.publish` takes it in place of a topic."""

    state_topic_postfix: str = ""
    value_template: str | None = None

    def __post_init__(self) -> None:
        if not self.state_topic_postfix:
            raise ValueError(f"{self.name}: expected state_topic_postfix, found none")
        super().__post_init__()
