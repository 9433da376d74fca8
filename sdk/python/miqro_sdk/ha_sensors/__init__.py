"""Devices and entities of Home Assistant, as in MIQRO. A service announces those that its constructor makes when it starts.

    class Alarm(miqro.Service):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            house = miqro.ha_sensors.Device(self, name="House")
            self.door = miqro.ha_sensors.BinarySensor(house, "door", state_topic_postfix="door", device_class="door")

        @miqro.handle_global("zigbee/door")
        def on_door(self, payload):
            self.publish(self.door, payload == "open")

The section of the service grants the topics of announcements: `grants: {publish: ["homeassistant/#"]}`.
"""

from ._climate import ClimateController
from ._device import Device, clean_string
from ._entity import Entity, EntityWithoutStateTopic
from ._kinds import BinarySensor, Button, DeviceTracker, Event, Number, Select, Sensor, Switch, Text

__all__ = [
    "BinarySensor", "Button", "ClimateController", "Device", "DeviceTracker", "Entity", "EntityWithoutStateTopic", "Event", "Number",
    "Select", "Sensor", "Switch", "Text", "clean_string",
]
