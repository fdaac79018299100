# SPDX-License-Identifier: Apache-2.0
"""Reads the generated scenes: a picture, a map of leaf ids, and a tree of labelled nodes."""
import json
from pathlib import Path

import cv2
import numpy as np

cv2.setNumThreads(1)


class Scene:
    """`image` (H, W, 3) RGB uint8, `leaves` (H, W) ids, `nodes` as in the json, parents first."""

    def __init__(self, stem, reduced=False):
        stem = str(stem)
        flag = cv2.IMREAD_REDUCED_COLOR_2 if reduced else cv2.IMREAD_COLOR
        self.image = cv2.imread(stem + ".jpg", flag)[:, :, ::-1]
        self.leaves = cv2.imread(stem + ".png", cv2.IMREAD_UNCHANGED)
        self.nodes = sorted(json.loads(Path(stem + ".json").read_text())["nodes"], key=lambda n: n["level"])

    def mask(self, node, leaves=None):
        """(H, W) bool."""
        leaves = self.leaves if leaves is None else leaves
        table = np.zeros(max(int(leaves.max()), *node["leaves"]) + 1, bool)
        table[node["leaves"]] = True
        return table[leaves]

    def chains(self):
        """(ids, 3): for each leaf id its object, part and sub-part as node indices (the finest one
        repeated), -1 for background."""
        table = np.full((int(self.leaves.max()) + 1, 3), -1)
        for i, node in enumerate(self.nodes):  # coarse to fine, so finer nodes overwrite the tail
            ids = [leaf for leaf in node["leaves"] if leaf < len(table)]
            table[ids, node["level"]:] = i
        return table


def list_scenes(folder):
    """Finished scenes, by name: the json is written last."""
    return sorted(p.with_suffix("") for p in Path(folder).glob("*.json"))


def inner_point(mask):
    """The pixel (x, y) farthest from the mask's border; the picture's edge counts as border."""
    distance = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y)
