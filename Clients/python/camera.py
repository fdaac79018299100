# A camera and who listens: sends a picture again and again as frames of a stream and prints what is seen in them.
#
#   pip install pyzmq
#   pandion serve --camera-endpoint tcp://127.0.0.1:5570 --results-endpoint tcp://127.0.0.1:5571
#   python camera.py photo.jpg 320 240          a click into each frame; without it everything in them
import json, sys, time, zmq

picture, click = sys.argv[1], [float(value) for value in sys.argv[2:4]]
context = zmq.Context()
results = context.socket(zmq.SUB)
results.subscribe("front")
results.connect("tcp://127.0.0.1:5571")
camera = context.socket(zmq.PUSH)
camera.set_hwm(1)
camera.connect("tcp://127.0.0.1:5570")
what = {"prompts": [{"points": [click], "point_labels": [1]}]} if click else {"auto": True, "points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.7}
image = {"blob": 0, "encoding": "jpeg" if picture.endswith("jpg") else "png"}
pixels = open(picture, "rb").read()
while True:
    now = time.time()
    stamp = {"sec": int(now), "nanosec": int(now % 1 * 1e9)}
    header = {"v": 1, "op": "label", "masks": "none", "image": image, "stamp": stamp, "frame_id": "front_optical", **what}
    camera.send_multipart([b"front", json.dumps(header).encode(), pixels])
    while results.poll(33):  # 30 frames a second, of which the newest count
        result = json.loads(results.recv_multipart()[1])
        words = [mask["label"] for mask in result["masks"]] if "masks" in result else result["error"]["message"]
        age = time.time() - result["stamp"]["sec"] - result["stamp"]["nanosec"] / 1e9 if "stamp" in result else 0
        print(f"frame {result['seq']}, {result['dropped']} dropped, {age * 1000:.0f} ms old:", words, flush=True)
