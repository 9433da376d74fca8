"""A caller and a provider of the interface Machine on paho, in ApiGear's format: what the guests contract-typed-client and
contract-typed-service do.

usage: typed_pair.py PORT provider|caller
The caller makes as many calls, one after the other, as {"args": [COUNT]} on service/python/caller/do says, and publishes their
nanoseconds on service/python/caller/done."""

import json
import queue
import socket
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, role = int(sys.argv[1]), sys.argv[2]
RPC = "bench.python/Machine/rpc/add"
RESULT = RPC + "/python/result"
answers = queue.SimpleQueue()
commands = queue.SimpleQueue()


def on_call(client, userdata, message):
    a, b = json.loads(message.payload)
    sent = Properties(PacketTypes.PUBLISH)
    sent.CorrelationData = message.properties.CorrelationData
    client.publish(message.properties.ResponseTopic, json.dumps(a + b), 1, properties=sent)


def call(number):
    begun = time.perf_counter_ns()
    sent = Properties(PacketTypes.PUBLISH)
    sent.ResponseTopic = RESULT
    sent.CorrelationData = number.to_bytes(4, "big")
    client.publish(RPC, json.dumps([number, 1]), 1, properties=sent)
    answer = answers.get()
    assert json.loads(answer.payload) == number + 1
    return time.perf_counter_ns() - begun


def on_connect(client, *_):
    client.subscribe([(topic, mqtt.SubscribeOptions(qos=1)) for topic in handlers])


if role == "provider":
    handlers = {RPC: on_call}
else:
    handlers = {
        RESULT: lambda client, userdata, message: answers.put(message),
        "service/python/caller/do": lambda client, userdata, message: commands.put(message),
    }
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"python-{role}", protocol=mqtt.MQTTv5)
client.on_connect = on_connect
# without it, each message waits for the acknowledgement of the one before it: 44 ms a call
client.on_socket_open = lambda client, userdata, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for topic, handler in handlers.items():
    client.message_callback_add(topic, handler)
client.connect("127.0.0.1", port)
client.loop_start()
while True:
    count = json.loads(commands.get().payload)["args"][0]
    client.publish("service/python/caller/done", json.dumps({"value": [call(number) for number in range(count)]}), 1)
