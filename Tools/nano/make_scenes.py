#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders labelled table-top scenes: NNNNNN.jpg, NNNNNN.png (leaf ids) and NNNNNN.json per picture.

    MUJOCO_GL=osmesa python3 make_scenes.py --out data/train --count 6000 --split train --seed 1
"""
import argparse
import json
import os
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from scenes import vocabulary
from scenes.compose import Stage
from scenes.labels import label

VIEWS = 3       # pictures per compiled model
SPLITS = {"train": 0, "eval": 1, "test": 2}


def write(stem, image, leaves, nodes, quality):
    cv2.imwrite(f"{stem}.jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    cv2.imwrite(f"{stem}.png", leaves.astype(np.uint8) if leaves.max() < 256 else leaves)
    height, width = leaves.shape
    temporary = f"{stem}.json.tmp"
    Path(temporary).write_text(json.dumps({"width": width, "height": height, "nodes": nodes}))
    os.replace(temporary, f"{stem}.json")


def make_group(job):
    """Renders the pictures `VIEWS * group ...`; the same job always gives the same pictures."""
    out, group, start, stop, split, seed, quality, groups, favoured = job
    wanted = range(max(start, group * VIEWS), min(stop, (group + 1) * VIEWS))
    stems = {n: Path(out) / f"{n:06d}" for n in wanted}
    if all(s.with_suffix(".json").exists() for s in stems.values()):
        return 0
    rng = np.random.default_rng([SPLITS[split], seed, group])
    stage = Stage(rng, *vocabulary.draw(rng, split, groups, favoured))
    for n in range(group * VIEWS, (group + 1) * VIEWS):
        image, owners, instances = stage.take()
        if n in stems:
            leaves, nodes = label(owners, instances, 0)
            write(stems[n], image, leaves, nodes, quality)
    stage.close()
    return len(stems)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--start", type=int, default=0, help="index of the first picture")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--groups", nargs="+", choices=vocabulary.GROUPS, default=list(vocabulary.GROUPS), help="things to draw from")
    parser.add_argument("--favour", nargs="+", choices=vocabulary.GROUPS, default=[], help="draw these four times as often")
    parser.add_argument("--quality", type=int, default=92, help="of the JPEG files")
    parser.add_argument("--vocabulary", help="only write the list of words to this file")
    options = parser.parse_args()
    if options.vocabulary:
        Path(options.vocabulary).write_text(json.dumps(vocabulary.words(), indent=1) + "\n")
        return
    os.makedirs(options.out, exist_ok=True)
    stop = options.start + options.count
    jobs = [(options.out, g, options.start, stop, options.split, options.seed, options.quality,
             options.groups, options.favour)
            for g in range(options.start // VIEWS, -(-stop // VIEWS))]
    if options.workers > 1:
        with Pool(options.workers, maxtasksperchild=50) as pool:
            for _ in pool.imap(make_group, jobs):
                pass
    else:
        for job in jobs:
            make_group(job)


if __name__ == "__main__":
    main()
