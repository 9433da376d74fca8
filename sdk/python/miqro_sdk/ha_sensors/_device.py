"""A device, with the entities that belong to it."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from .._service import Service
    from ._entity import EntityWithoutStateTopic

# The members of the device in an announcement that have the value of the field of this name.
_FACTS = (
    "name", "model", "manufacturer", "sw_version", "hw_version", "identifiers", "connections", "suggested_area",
)


def clean_string(raw: str) -> str:
    """Text with `-` in place of each character that a topic of an announcement cannot have."""
    return re.sub("[^A-Za-z0-9_-]", "-", raw).strip("-")


@dataclass(eq=False)
class Device:
    """A device of Home Assistant. Its identity is made of the names of the service and the device, so that both should stay as they are."""

    service: "Service"
    name: str
    model: str | None = None
    manufacturer: str | None = None
    sw_version: str | None = None
    hw_version: str | None = None
    identifiers: list[str] | str | None = None
    connections: list[tuple[str, str]] | None = None
    suggested_area: str | None = None
    via_device: Union["Device", None] = None

    unique_id: str = field(init=False)
    entities: "list[EntityWithoutStateTopic]" = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        self.unique_id = f"{self.service.SERVICE_NAME}_{clean_string(self.name)}"
        given = [self.identifiers] if isinstance(self.identifiers, str) else self.identifiers or []
        self.identifiers = [*given, *([] if self.unique_id in given else [self.unique_id])]
        self.service.ha_devices.append(self)

    def add_entity(self, entity: "EntityWithoutStateTopic") -> None:
        """Adds an entity to those that are announced with the device. Entities do so themselves."""
        self.entities.append(entity)

    def get_discover_payload(self) -> dict[str, Any]:
        """The announcement of the device and its entities."""
        device = {name: getattr(self, name) for name in _FACTS if getattr(self, name) is not None}
        if self.via_device is not None:
            device["via_device"] = self.via_device.unique_id
        return {
            "device": device,
            "origin": {"name": f"MIQRO service {self.service.SERVICE_NAME}"},
            "availability": [{"topic": self.service.willtopic, "payload_available": "1", "payload_not_available": "0"}],
            "components": {entity.unique_id: entity.get_discover_payload() for entity in self.entities},
        }

    def publish_discovery(self, prefix: str) -> None:
        """Publishes the announcement, retained, below `prefix`."""
        topic = f"{prefix}/device/{self.unique_id}/config"
        self.service.publish_json(topic, self.get_discover_payload(), qos=1, retain=True, global_=True)
