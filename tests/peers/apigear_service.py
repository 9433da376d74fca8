# The interface Machine of the tests, served after the messages of ApiGear's templates.
#
# usage: apigear_service.py PORT PEER
# Python answers an operation without a result with 0, Qt with null, C++ not at all.
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, peer = sys.argv[1:]
PREFIX = "test.typed/Machine"
QOS = 1 if peer == "unreal" else 2
VOID = {"python": 0, "qt": None}
level = 3


def answer(client, message, value):
    topic = getattr(message.properties, "ResponseTopic", None)
    if topic is None:
        return
    sent = Properties(PacketTypes.PUBLISH)
    data = getattr(message.properties, "CorrelationData", None)
    if data is not None:
        sent.CorrelationData = data
    client.publish(topic, json.dumps(value), QOS, properties=sent)


def on_add(client, userdata, message):
    a, b = json.loads(message.payload)
    answer(client, message, a + b)


def on_nothing(client, userdata, message):
    print("nothing", message.payload.decode(), flush=True)
    if peer in VOID:
        answer(client, message, VOID[peer])


def on_set(client, userdata, message):
    global level
    level = json.loads(message.payload)
    client.publish(f"{PREFIX}/prop/level", json.dumps(level), QOS, retain=True)
    # Qt's template retains signals
    client.publish(f"{PREFIX}/sig/levelPassed", json.dumps([level, peer]), QOS, retain=peer == "qt")


def on_connect(client, *_):
    handlers = {"rpc/add": on_add, "rpc/nothing": on_nothing, "set/level": on_set}
    for topic, handler in handlers.items():
        client.message_callback_add(f"{PREFIX}/{topic}", handler)
    client.subscribe([(f"{PREFIX}/{topic}", mqtt.SubscribeOptions(qos=QOS)) for topic in handlers])
    client.publish(f"{PREFIX}/prop/level", json.dumps(level), QOS, retain=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{peer}-service", protocol=mqtt.MQTTv5)
client.on_connect = on_connect
client.on_subscribe = lambda *_: print("serves", flush=True)
client.connect("127.0.0.1", int(port), clean_start=True)
client.loop_forever()
