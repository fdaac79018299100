# SPDX-License-Identifier: Apache-2.0
"""Compares `pandion trace` with the official code on random weights at full size, through a torch checkpoint.

    python3 Tools/parity/trace.py --package PATH_OF_CLONE --model vit_b|vit_l|vit_h|vit_t|vit_tiny --image Examples/coffee.jpg

`--package` is a clone of segment-anything, of MobileSAM for vit_t, or of sam-hq, whose vit_tiny is Light HQ-SAM. Prints
the largest differences, relative to each tensor's largest value, and the masks' IoU; exits 1 above 1e-4 or below 0.999.
"""
import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", required=True)
    parser.add_argument("--model", choices=["vit_b", "vit_l", "vit_h", "vit_t", "vit_tiny"], default="vit_b")
    parser.add_argument("--image", required=True)
    parser.add_argument("--pandion", default=".build/release/pandion")
    parser.add_argument("--seed", type=int, default=5)
    a = parser.parse_args()
    sys.path.insert(0, a.package)
    official = importlib.import_module("mobile_sam" if a.model == "vit_t" else "segment_anything")
    torch.manual_seed(a.seed)
    sam = official.sam_model_registry[a.model](None)
    with torch.no_grad():
        for name, p in sam.named_parameters():
            if any(part in name for part in ("rel_pos", "pos_embed", "attention_biases")):
                p.normal_(0, 0.02)
        for m in sam.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
    sam.train().eval()  # TinyViT gathers its biases when it leaves training

    image = np.array(Image.open(a.image).convert("RGB"))
    height, width = image.shape[:2]
    points = np.array([[width // 2, height // 2], [width // 10, height // 8]], float)
    predictor = official.SamPredictor(sam)
    predictor.set_image(image)
    masks, iou, low = predictor.predict(points, np.array([1, 0]), multimask_output=True)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, out = Path(folder) / "model.pth", Path(folder) / "trace.safetensors"
        torch.save(sam.state_dict(), checkpoint)
        clicks = [f for (x, y), label in zip(points, (1, 0)) for f in ("--point", f"{x},{y},{label}")]
        subprocess.run([a.pandion, "trace", a.image, *clicks, "--segmenter", checkpoint, "--segment-only", "--out", out],
                       check=True, stderr=subprocess.DEVNULL)
        trace = load_file(out)
    worst = 0.0
    for name, wanted in (("image_embedding", predictor.features[0].numpy()), ("low_res_logits", low), ("iou_predictions", iou)):
        difference = float(np.abs(trace["sam." + name] - wanted).max() / np.abs(wanted).max())
        worst = max(worst, difference)
        print(f"{name:16} {difference:.1e}")
    overlap = [(t.astype(bool) & m).sum() / max(1, (t.astype(bool) | m).sum()) for t, m in zip(trace["sam.masks"], masks)]
    print("mask IoU        ", " ".join(f"{v:.5f}" for v in overlap))
    sys.exit(int(worst > 1e-4 or min(overlap) < 0.999))


if __name__ == "__main__":
    main()
