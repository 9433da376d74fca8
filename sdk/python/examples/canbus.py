"""Frames of a vehicle's bus as values, as a service of MIQRO. A gateway publishes each frame as hexadecimal text on frame/<identifier>.

The section of miqro.yml:

    services:
      canbus:
        speed_calibration_mult: 1.02
        speed_calibration_add: 0.0
"""
from datetime import timedelta

import miqro


def signed(value, bits):
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


class CanService(miqro.Service):
    SERVICE_NAME = "canbus"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.debug = False
        self.frames = 0
        self.unknown = set()

    @miqro.handle("debug")
    def set_debug(self, payload):
        self.debug = payload.lower() in ("1", "true", "on")

    @miqro.handle("frame/#")
    def on_frame(self, payload, identifier):
        data = bytes.fromhex(payload)
        self.frames += 1
        decode = self.DECODERS.get(identifier)
        if decode is None:
            self.unknown.add(identifier)
            if self.debug:
                self.publish("unknown/" + identifier, payload)
            return
        values, span = decode(self, data)
        self.publish_json_keys(values, only_if_changed=timedelta(seconds=span))

    @miqro.handle("calibration")
    @miqro.accept_json
    def show_calibration(self, speed, decimals=1):
        self.publish("calibrated", round(self.calibrated(speed), decimals))

    @miqro.loop(minutes=1)
    def statistics(self):
        self.publish_json("statistics", {"frames": self.frames, "unknown": sorted(self.unknown)})
        self.frames = 0
        self.unknown.clear()

    def calibrated(self, speed):
        config = self.service_config
        return speed * config.get("speed_calibration_mult", 1.0) + config.get("speed_calibration_add", 0.0)

    def engine(self, data):
        speed = self.calibrated(int.from_bytes(data[2:4], "big") / 100)
        return {"engine": {"rpm": int.from_bytes(data[0:2], "big") / 8}, "speed": speed}, 5

    def doors(self, data):
        names = ["front_left", "front_right", "rear_left", "rear_right", "trunk"]
        doors = {name: bool(data[0] >> bit & 1) for bit, name in enumerate(names)}
        return {"door": doors, "lock": {"locked": bool(data[1] & 0x80)}}, 60

    def attitude(self, data):
        pitch = signed(int.from_bytes(data[0:2], "big"), 16) / 10
        return {"slow": {"attitude": {"pitch": pitch}, "outside": data[2] / 2 - 40}}, 20

    DECODERS = {"208": engine, "220": doors, "2e1": attitude}


miqro.run(CanService)
