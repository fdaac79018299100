#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders held-out scenes as the folder that `pandion eval` reads: pictures and one annotations.json.

    MUJOCO_GL=osmesa python3 make_eval.py --out eval200 --count 200 --seed 11

Every node of a scene is one COCO annotation: `segmentation` compressed RLE, `category` its word,
`caption` its short phrase, `parent` another annotation or null, `level` 0, 1, 2 for object, part,
sub-part, `unseen` true where the object's shape variant is reserved for evaluation.
"""
import argparse
import json
import shutil
import tempfile
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from pycocotools import mask as coco

from make_scenes import SPLITS, VIEWS, make_group
from scenes import vocabulary
from scenes_data import Scene, list_scenes


def annotate(stem, image_id, first):
    """One scene -> its COCO annotations, numbered from `first`."""
    scene = Scene(stem)
    ids = {node["id"]: first + i for i, node in enumerate(scene.nodes)}
    out = []
    for node in scene.nodes:
        encoded = coco.encode(np.asfortranarray(scene.mask(node).astype(np.uint8)))
        out.append({
            "id": ids[node["id"]], "image_id": image_id, "category": node["category"], "caption": node["caption"],
            "description": node["description"], "parent": ids.get(node["parent"]), "level": node["level"],
            "unseen": node["unseen"], "area": int(coco.area(encoded)), "bbox": [int(v) for v in coco.toBbox(encoded)],
            "segmentation": {"size": list(map(int, encoded["size"])), "counts": encoded["counts"].decode()}})
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--split", choices=SPLITS, default="eval")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quality", type=int, default=92, help="of the JPEG files")
    parser.add_argument("--scenes", help="keep (or find) make_scenes.py's files of the same seed in this folder")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.scenes or scratch
        Path(folder).mkdir(parents=True, exist_ok=True)
        jobs = [(folder, g, 0, options.count, options.split, options.seed, options.quality, list(vocabulary.GROUPS), [])
                for g in range(-(-options.count // VIEWS))]
        with Pool(options.workers, maxtasksperchild=50) as pool:
            for _ in pool.imap(make_group, jobs):
                pass
        images, annotations = [], []
        for number, stem in enumerate(list_scenes(folder)[:options.count]):
            found = annotate(stem, number + 1, len(annotations) + 1)
            size = json.loads(stem.with_suffix(".json").read_text())
            shutil.copyfile(stem.with_suffix(".jpg"), out / f"{stem.name}.jpg")
            images.append({"id": number + 1, "file_name": f"{stem.name}.jpg", "width": size["width"], "height": size["height"]})
            annotations += found
    (out / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations}) + "\n")
    print(len(images), "pictures,", len(annotations), "annotations in", out)


if __name__ == "__main__":
    main()
