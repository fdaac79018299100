# SPDX-License-Identifier: Apache-2.0
"""Automatic masks, the whole call: the official generator in torch and `pandion`, at one setting, as two lists of masks."""
import json
import sys
import time

import numpy as np

from subjects import Part, segmenter


def part(a, path):
    setting = ["--points-per-side", str(a.points_per_side), "--pred-iou-thresh", "0", "--stability-score-thresh", "0",
               "--box-nms-thresh", "1"]
    title = f"automatic masks, whole call, SAM {a.model}, {a.points_per_side}² points, all three masks of each kept"
    return Part(title, {}, "automatic_masks", ["--segmenter", str(path)] + setting, ("fp32", "bf16"))


def official(a):
    """-> the subject's weights, and a call of the official generator."""
    sys.path.insert(0, a.segment_anything)
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
    model, path = segmenter(sam_model_registry, a.checkpoint, a.work, a.model)
    generator = SamAutomaticMaskGenerator(
        model, points_per_side=a.points_per_side, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1,
        output_mode="coco_rle")
    return path, generator.generate


def run_official(a, pixels):
    """Milliseconds and the list, kept for comparisons: the call takes minutes, so there is no unmeasured one."""
    path, generate = official(a)
    start = time.perf_counter()
    masks = generate(pixels)
    milliseconds = 1000 * (time.perf_counter() - start)
    (a.work / f"{path.stem}.automatic.{a.points_per_side}.json").write_text(json.dumps(masks))
    return milliseconds


def compare(a, path, pandion, peer):
    """What became of the official list's masks in the other's: the same point of the grid, in the same place of the list."""
    from pycocotools import mask as coco
    file = a.work / f"{path.stem}.automatic.{a.points_per_side}.json"
    if not file.exists():
        return None
    theirs = json.loads(file.read_text())
    ours = json.loads(pandion.call(["auto", a.image, *part(a, path).options, *pandion.common(peer), "--json"]))
    ours = ours.get("masks", ours) if isinstance(ours, dict) else ours
    same = [coco.iou([x["segmentation"]], [y["segmentation"]], [0])[0, 0]
            for x, y in zip(theirs, ours) if np.allclose(x["point_coords"], y["point_coords"], atol=1e-3)]
    worst = min(same, default=0)
    return f"{len(ours)} masks of {len(theirs)}, {len(same)} the same in the same place, least IoU {worst:.5f}"
