"""Devices and entities of Home Assistant, natively. The host's tests compare announcements of each kind with MIQRO's own."""

import json
import unittest

import miqro_sdk as miqro
from miqro_sdk import _registry, ha_sensors
from miqro_sdk.testing import TestHost, bindings


class House(miqro.Service):
    SERVICE_NAME = "house"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        bridge = ha_sensors.Device(self, "Bridge", connections=[("mac", "00:11")])
        self.device = ha_sensors.Device(self, name="Küche 1", model="M", identifiers="own", via_device=bridge)
        self.door = ha_sensors.BinarySensor(self.device, "door", state_topic_postfix="door", payload_on="open", payload_off="closed")
        self.light = ha_sensors.Switch(
            device=self.device, name="light", state_topic_postfix="light", command_topic_postfix="light/set",
            command_callback=lambda service, payload: service.publish(self.light, payload == "on"),
        )
        self.scene = ha_sensors.Sensor(None, "scene", service=self, state_topic_postfix="scene", options=["day", "night"])


class HaSensors(unittest.TestCase):
    def setUp(self):
        _registry.registry.clear()

    def announcements(self, host):
        return {topic: json.loads(payload) for topic, payload in host.published() if topic.startswith("homeassistant/")}

    def test_devices_and_entities_are_announced_at_the_start(self):
        miqro.run(House)
        found = self.announcements(TestHost(name="house"))
        self.assertEqual(list(found), [
            "homeassistant/device/house_Bridge/config", "homeassistant/device/house_K-che-1/config",
            "homeassistant/sensor/house__sensor_scene/config",
        ])
        device = found["homeassistant/device/house_K-che-1/config"]
        self.assertEqual(device["device"], {
            "name": "Küche 1", "model": "M", "identifiers": ["own", "house_K-che-1"], "via_device": "house_Bridge",
        })
        self.assertEqual(device["availability"][0]["topic"], "service/house/online")
        self.assertEqual(device["components"]["house_K-che-1__binary_sensor_door"], {
            "platform": "binary_sensor", "name": "door", "default_entity_id": "binary_sensor.door",
            "unique_id": "house_K-che-1__binary_sensor_door", "state_topic": "service/house/door", "payload_on": "open",
            "payload_off": "closed",
        })
        scene = found["homeassistant/sensor/house__sensor_scene/config"]
        self.assertEqual((scene["device_class"], scene["options"]), ("enum", ["day", "night"]))

    def test_commands_come_once_and_states_go_to_the_topics_of_entities(self):
        made = []
        miqro.run(lambda: made.append(House()) or made[0])
        host = TestHost(name="house")
        host.published()
        host.send("light/set", "on")
        made[0].publish(made[0].door, False)
        made[0].publish_json(made[0].scene, "night")
        self.assertEqual(host.published(), [("light", b"on"), ("door", b"closed"), ("scene", b'"night"')])

    def test_announcements_come_again_with_another_connection(self):
        miqro.run(House)
        host = TestHost(name="house")
        host.published()
        world = miqro.WitWorld()
        world.disconnected()
        world.connected(True)
        self.assertEqual(len(self.announcements(host)), 3)

    def test_a_service_without_the_grant_runs_all_the_same(self):
        def refuse(topic, payload, options):
            raise bindings.Err(bindings.MessagingError_Denied("not granted; write: homeassistant/#"))

        publish = bindings.messaging.publish
        bindings.messaging.publish = refuse
        try:
            miqro.run(House)
            host = TestHost(name="house")
        finally:
            bindings.messaging.publish = publish
        warning = "Home Assistant is not told of devices and entities: not granted; write: homeassistant/#"
        self.assertEqual(host.log, [("WARN", warning)])

    def test_wrong_entities_are_refused(self):
        TestHost()
        service = miqro.Service()
        device = ha_sensors.Device(service, "d")
        for text, make in [
            ("door: expected a device or a service, found none", lambda: ha_sensors.Button(None, "door")),
            ("door: expected a device or a service, found both", lambda: ha_sensors.Button(device, "door", service=service)),
            ("door: expected state_topic_postfix, found none", lambda: ha_sensors.Sensor(device, "door")),
            ("s: expected options to select from, found none", lambda: ha_sensors.Select(device, "s", state_topic_postfix="s")),
            ("b: expected command_topic_postfix for command_callback", lambda: ha_sensors.Button(device, "b", command_callback=print)),
            ("c: expected one of C, F, found 'K'", lambda: ha_sensors.ClimateController(device, "c", temperature_unit="K")),
        ]:
            with self.assertRaisesRegex(ValueError, text):
                make()


if __name__ == "__main__":
    unittest.main()
