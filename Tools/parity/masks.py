#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the goldens of Tests/MasksTests: pycocotools' run lengths and SAM's own remove_small_regions.

    Tools/parity/masks.py --segment-anything CLONE [--out Tests/MasksTests/Fixtures]
    Tools/parity/masks.py --segment-anything CLONE --check --count 10000 [--seed N]

With --check nothing is kept: the Swift tests read the masks from a folder that is gone afterwards, and any difference from
pycocotools, in either direction, fails; the seed is a new one unless given.
CLONE is a checkout of facebookresearch/segment-anything. Needs numpy, scipy, torch, opencv, pycocotools.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
from pycocotools import mask as coco
from scipy.ndimage import gaussian_filter


def random_mask(rng, height, width):
    kind = rng.integers(6)
    if kind == 0:
        return np.zeros((height, width), bool)
    if kind == 1:
        return np.ones((height, width), bool)
    if kind == 2:
        return rng.random((height, width)) < rng.random()
    noise = gaussian_filter(rng.standard_normal((height, width)), sigma=float(rng.uniform(0.6, 3)))
    return noise > np.quantile(noise, rng.uniform(0.1, 0.9))


def encoded(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


def uncompressed(mask):
    flat = mask.T.reshape(-1).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return np.diff([0] + edges + [flat.size]).tolist()


def nms(boxes, scores, threshold):
    """torchvision.ops.nms's CPU kernel, in float32 (torchvision itself if it is there)."""
    try:
        import torch, torchvision
        return torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).tolist()
    except ImportError:
        pass
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    gone, keep = np.zeros(len(boxes), bool), []
    for rank, i in enumerate(order):
        if gone[i]:
            continue
        keep.append(int(i))
        for j in order[rank + 1:]:
            w = max(np.float32(0), min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]))
            h = max(np.float32(0), min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]))
            if w * h / (areas[i] + areas[j] - w * h) > np.float32(threshold):
                gone[j] = True
    return keep


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segment-anything", required=True)
    parser.add_argument("--out", default="Tests/MasksTests/Fixtures")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--check", action="store_true", help="run the Swift tests on new masks instead of writing goldens")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1 << 32) if options.check else 20
    sys.path.insert(0, options.segment_anything)
    from segment_anything.utils.amg import remove_small_regions

    rng = np.random.default_rng(options.seed)
    sizes = [(1, 1), (1, 1), (1, 17), (17, 1), (2, 2), (3, 3), (7, 5), (8, 8), (9, 8), (8, 9), (31, 33), (240, 320)]
    records, last = [], None
    for index in range(options.count):
        if index < 2 * len(sizes):
            height, width = sizes[index // 2]
        elif index % 2 == 0:
            height, width = (int(n) for n in rng.integers(1, 60, 2))
        else:
            height, width = last.shape
        mask = random_mask(rng, height, width)
        if index < 2:
            mask = np.full((1, 1), index == 1)
        rle = encoded(mask)
        record = {
            "height": height,
            "width": width,
            "bits": np.packbits(mask.reshape(-1)).tobytes().hex(),
            "counts": uncompressed(mask),
            "compressed": rle["counts"].decode(),
            "area": int(coco.area(rle)),
            "bbox": [int(v) for v in coco.toBbox(rle)],
        }
        assert coco.frPyObjects({"size": [height, width], "counts": record["counts"]}, height, width) == rle
        if last is not None and last.shape == mask.shape:
            record["iouWithLast"] = float(coco.iou([rle], [encoded(last)], [0])[0, 0])
        record["regions"] = []
        for mode in ("holes", "islands"):
            area = int(rng.choice([1, 3, 10, 40, 4000]))
            cleaned, changed = remove_small_regions(mask, area, mode)
            record["regions"].append(
                {"mode": mode, "area": area, "compressed": encoded(cleaned)["counts"].decode(), "changed": bool(changed)})
        records.append(record)
        last = mask

    heaps = []
    for _ in range(20):
        n = int(rng.integers(0, 80))
        corners = rng.uniform(0, 100, (n, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(0, 60, (n, 2))], 1).round(1).astype(np.float32)
        boxes[: n // 4] = np.repeat(boxes[:1], n // 4, 0)  # the same box several times, with equal scores
        scores = rng.random(n).round(1).astype(np.float32)
        threshold = float(rng.choice([0.0, 0.3, 0.5, 0.7, 1.0]))
        heaps.append({"boxes": boxes.tolist(), "scores": scores.tolist(), "threshold": threshold,
                      "kept": nms(boxes, scores, threshold)})

    if options.check:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, records, heaps)
            print(f"seed {options.seed}", flush=True)
            root = pathlib.Path(__file__).resolve().parents[2]
            sys.exit(subprocess.run(
                ["swift", "test", "-c", "release", "-Xswiftc", "-enable-testing", "--filter", "MasksTests"],
                cwd=root, env={**os.environ, "PANDION_MASK_GOLDENS": folder}).returncode)
    write(options.out, records, heaps)


def write(folder, records, heaps):
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "masks.json").write_text(json.dumps(records, separators=(",", ":")) + "\n")
    (out / "nms.json").write_text(json.dumps(heaps, separators=(",", ":")) + "\n")
    print(f"{len(records)} masks, {len(heaps)} heaps of boxes in {out}")


if __name__ == "__main__":
    main()
