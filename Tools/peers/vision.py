# SPDX-License-Identifier: Apache-2.0
"""SAM in torch, ONNX Runtime, OpenVINO and Pandion: the same weights, picture and threads, one after the other in one run.

    pip install torch torchvision onnx onnxscript onnxruntime openvino safetensors pillow
    python Tools/peers/vision.py --segment-anything PATH --image Examples/desk.jpg [--checkpoint sam_vit_b_01ec64.pth]
        [--model vit_b] [--threads 2] [--repeat 3] [--out Benchmarks/RESULTS.md]

PATH is a checkout of facebookresearch/segment-anything. Without a checkpoint, weights are random. Rows: the image encoder; one click and
64 clicks on an encoded picture (prompt encoder and mask decoder, three masks each, as low-resolution logits; Pandion's
includes the masks at full size). Each peer runs once unmeasured, then --repeat times, the median counts. Embeddings are compared with torch's. Exporting
takes minutes and is kept in --work.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PARTS = {"image_encoder": "image encoder", "click": "one click", "points_64": "64 clicks"}


def median(body, repeat):
    body()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def whole_decoder(sam):
    """Prompt encoder and mask decoder as one function of the embedding and the points."""
    import torch

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.sam = sam

        def forward(self, embedding, points, labels):
            sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
            return sam.mask_decoder(
                image_embeddings=embedding, image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=True)

    return Decoder().eval()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--segment-anything", required=True)
    p.add_argument("--image", required=True)
    p.add_argument("--model", default="vit_b", choices=["vit_b", "vit_l", "vit_h"])
    p.add_argument("--checkpoint")
    p.add_argument("--pandion", default=".build/release/pandion")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "pandion-peers")
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(a.threads))
    sys.path.insert(0, a.segment_anything)
    import onnxruntime
    import openvino
    import torch
    from PIL import Image
    from safetensors.numpy import load_file
    from segment_anything import SamPredictor, sam_model_registry

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    a.work.mkdir(parents=True, exist_ok=True)
    sam = sam_model_registry[a.model](checkpoint=a.checkpoint).eval()
    checkpoint = Path(a.checkpoint) if a.checkpoint else a.work / f"{a.model}.pth"
    if not a.checkpoint:
        torch.nn.init.normal_(sam.image_encoder.pos_embed, std=0.02)
        torch.save(sam.state_dict(), checkpoint)
    image = np.array(Image.open(a.image).convert("RGB"))
    height, width = image.shape[:2]
    predictor = SamPredictor(sam)
    resized = predictor.transform.apply_image(image)
    x = sam.preprocess(torch.as_tensor(resized).permute(2, 0, 1)[None].contiguous())
    grid = np.array([[((i % 8) + 0.5) / 8 * width, ((i // 8) + 0.5) / 8 * height] for i in range(64)])
    clicks = {"click": np.array([[0.5 * width, 0.5 * height]]), "points_64": grid}
    clicks = {k: torch.as_tensor(predictor.transform.apply_coords(v, (height, width)), dtype=torch.float32)[:, None]
              for k, v in clicks.items()}
    decoder, rows, worst = whole_decoder(sam), {}, {}
    with torch.no_grad():
        embedding = sam.image_encoder(x)

        def record(peer, part, body):
            rows.setdefault(part, {})[peer] = median(body, a.repeat)
            print(f"{peer:14} {part:14} {rows[part][peer]:10.1f} ms", flush=True)

        def compare(peer, other):
            worst[peer] = float(np.abs(np.asarray(other) - embedding.numpy()).max() / embedding.abs().max())

        record("torch", "image_encoder", lambda: sam.image_encoder(x))
        for part, points in clicks.items():
            labels = torch.ones(points.shape[:2])
            record("torch", part, lambda: decoder(embedding, points, labels))

        files = {"encoder": a.work / f"{checkpoint.stem}.encoder.onnx", "decoder": a.work / f"{checkpoint.stem}.decoder.onnx"}
        if not files["encoder"].exists():
            torch.onnx.export(sam.image_encoder, (x,), str(files["encoder"]), opset_version=17, input_names=["x"],
                              output_names=["y"], dynamo=False)
        if not files["decoder"].exists():
            points = clicks["points_64"]
            torch.onnx.export(
                decoder, (embedding, points, torch.ones(points.shape[:2])), str(files["decoder"]), opset_version=17,
                input_names=["embedding", "points", "labels"], output_names=["masks", "iou"], dynamo=False,
                dynamic_axes={k: {0: "n"} for k in ("points", "labels", "masks", "iou")})
    inputs = {part: {"embedding": embedding.numpy(), "points": v.numpy(), "labels": np.ones(v.shape[:2], np.float32)}
              for part, v in clicks.items()}

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = a.threads, 1
    session = {k: onnxruntime.InferenceSession(str(v), options, providers=["CPUExecutionProvider"]) for k, v in files.items()}
    compare("ONNX Runtime", session["encoder"].run(None, {"x": x.numpy()})[0])
    record("ONNX Runtime", "image_encoder", lambda: session["encoder"].run(None, {"x": x.numpy()}))
    for part in clicks:
        record("ONNX Runtime", part, lambda: session["decoder"].run(None, inputs[part]))
    del session

    core = openvino.Core()
    for precision in ("f32", "bf16"):
        settings = {"INFERENCE_NUM_THREADS": a.threads, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
        peer = f"OpenVINO {precision}"
        request = core.compile_model(core.read_model(files["encoder"]), "CPU", settings).create_infer_request()
        compare(peer, request.infer({0: x.numpy()})[0])
        record(peer, "image_encoder", lambda: request.infer({0: x.numpy()}))
        request = core.compile_model(core.read_model(files["decoder"]), "CPU", settings).create_infer_request()
        for part in clicks:
            record(peer, part, lambda: request.infer(inputs[part]))
        del request

    trace = a.work / "trace.safetensors"
    for precision in ("fp32", "bf16", "int8"):
        peer = f"Pandion {precision}"
        common = ["--segmenter", str(checkpoint), "--threads", str(a.threads), "--precision", precision]
        # The decoder is fp32 in each of them.
        parts = PARTS if precision == "fp32" else ["image_encoder"]
        run = subprocess.run([a.pandion, "bench", a.image, *common, "--json", "--repeat", str(a.repeat)]
                             + [w for k in parts for w in ("--only", k)], capture_output=True, text=True)
        if run.returncode:
            print(f"{peer}: {run.stderr.strip()}")
            continue
        for row in json.loads(run.stdout)["parts"]:
            rows[row["part"]][peer] = row["median"]
            print(f"{peer:14} {row['part']:14} {row['median']:10.1f} ms", flush=True)
        subprocess.run([a.pandion, "trace", a.image, *common, "--point", f"{width // 2},{height // 2}", "--out", str(trace)],
                       check=True, capture_output=True)
        compare(peer, load_file(trace)["sam.image_embedding"][None])

    own = [k for k in rows["image_encoder"] if k.startswith("Pandion")]
    peers = ["torch", "ONNX Runtime", "OpenVINO f32", "OpenVINO bf16"]
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    table = [
        f"# SAM {a.model} beside its peers", "",
        f"{datetime.date.today()}, {cpu}, {a.threads} threads; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, "
        f"openvino {openvino.__version__.split('-')[0]}. Milliseconds, in brackets how many times as long as Pandion in the same "
        "precision (bf16's decoder is fp32 in Pandion).", "",
        "    " + " ".join(["python Tools/peers/vision.py"] + [Path(w).name if w.startswith("/") else w for w in sys.argv[1:]]), "",
        "| | " + " | ".join(own + peers) + " |", "|---" * (len(own) + len(peers) + 1) + "|"]
    for part, title in PARTS.items():
        cells = [f"{rows[part][q]:.1f}" if q in rows[part] else "" for q in own]
        for q in peers:
            base = rows[part].get("Pandion bf16" if q.endswith("bf16") else "Pandion fp32", rows[part]["Pandion fp32"])
            cells.append(f"{rows[part][q]:.1f} ({rows[part][q] / base:.2f}×)")
        table.append(f"| {title} | " + " | ".join(cells) + " |")
    table += ["", "Largest difference of the embedding from torch's, of its scale: "
              + ", ".join(f"{k} {v:.1e}" for k, v in worst.items()) + "."]
    print("\n".join(table))
    if a.out:
        a.out.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
