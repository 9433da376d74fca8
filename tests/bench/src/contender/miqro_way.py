"""MIQRO's way of an echo service, on paho: handlers run on paho's network thread, the payload is decoded as UTF-8 and
stripped, handlers are found by walking a dictionary, and everything is logged through logging at level INFO.

In: the broker's port. Out: answers to service/python/echo on service/python/echo_response, with the QoS of the question."""

import logging
import sys

import paho.mqtt.client as mqtt

BASE = "service/python/"
logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("python.mqtt")


class Service:
    def __init__(self, port):
        self.handlers = {BASE + "echo": self.echo}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="python", protocol=mqtt.MQTTv5)
        self.client.max_inflight_messages_set(2000)
        self.client.on_connect = self.on_connect
        self.client.on_message = self.on_message
        properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
        properties.ReceiveMaximum = 2000
        self.client.connect("127.0.0.1", port, properties=properties)

    def on_connect(self, client, userdata, flags, reason, properties):
        for topic in self.handlers:
            client.subscribe(topic, qos=1)

    def on_message(self, client, userdata, message):
        payload = message.payload.decode("utf-8", "replace").strip()
        logger.debug("%s: %s", message.topic, payload)
        for topic, handler in self.handlers.items():
            if message.topic == topic or (topic.endswith("#") and message.topic.startswith(topic[:-1])):
                handler(payload, message.qos)

    def echo(self, payload, qos):
        self.publish("echo_response", payload, qos=qos)

    def publish(self, topic, message, retain=False, qos=0):
        if isinstance(message, bool):
            message = "1" if message else "0"
        elif not isinstance(message, str):
            message = str(message)
        logger.debug("publish %s: %s", topic, message)
        self.client.publish(BASE + topic, message, qos, retain)


service = Service(int(sys.argv[1]))
service.client.loop_start()
service.client._thread.join()
