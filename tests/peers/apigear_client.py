# A client of an ApiGear interface, after the messages of its templates, whose answers differ in topic and correlation data.
#
# usage: apigear_client.py PORT PEER MODULE INTERFACE OPERATION ARGUMENTS COUNT
# Prints one line for each answer: the identifier of the call as it came back, and the payload.
import struct
import sys
import threading
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, peer, module, interface, operation, arguments, count = sys.argv[1:]
topic = f"{module}/{interface}/rpc/{operation}"
client_id = f"{peer}-client"
left = int(count)
done = threading.Event()

REPLY_TOPICS = {
    "python": f"{topic}/{client_id.encode()!r}/result",
    "cpp": f"{topic}/{client_id}/result",
    "qt": f"{topic}{client_id}/result",
    "unreal": f"{topic}/{client_id}/result",
    "rust": f"apigear/{module}/{interface}/op/{operation}/resp",
}
CORRELATIONS = {
    "python": lambda call: bytes([call % 256]),
    "cpp": lambda call: str(57343 + call).encode(),
    "qt": lambda call: struct.pack(">Q", call),
    "unreal": lambda call: str(uuid.UUID(int=call)).upper().encode(),
    "rust": lambda call: None,
}
QOS = 1 if peer in ("unreal", "rust") else 2


def on_subscribed(client, userdata, mid, codes, properties):
    for call in range(int(count)):
        sent = Properties(PacketTypes.PUBLISH)
        sent.ResponseTopic = REPLY_TOPICS[peer]
        correlation = CORRELATIONS[peer](call)
        if correlation is not None:
            sent.CorrelationData = correlation
        client.publish(topic, arguments, QOS, properties=sent)


def on_message(client, userdata, message):
    global left
    data = getattr(message.properties, "CorrelationData", None)
    print(data.hex() if data is not None else "-", message.payload.decode(), flush=True)
    left -= 1
    if left == 0:
        done.set()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
client.on_connect = lambda client, *_: client.subscribe(REPLY_TOPICS[peer], QOS)
client.on_subscribe = on_subscribed
client.on_message = on_message
client.connect("127.0.0.1", int(port), clean_start=True)
client.loop_start()
if not done.wait(30):
    sys.exit("answers are missing")
