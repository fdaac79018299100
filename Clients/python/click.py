"""A click and a word: the smallest client. Needs pyzmq; usage: click.py PICTURE X Y"""
import json, sys, zmq

picture, x, y = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
socket = zmq.Context().socket(zmq.REQ)
socket.connect("tcp://127.0.0.1:5560")
header = {"v": 1, "op": "label", "id": "1", "image": {"blob": 0, "encoding": "jpeg" if picture.endswith("jpg") else "png"},
          "prompts": [{"points": [[x, y]], "point_labels": [1]}]}
socket.send_multipart([json.dumps(header).encode(), open(picture, "rb").read()])
reply = json.loads(socket.recv_multipart()[0])
print(reply["masks"][0]["label"] if "masks" in reply else reply["error"]["message"])
