# SPDX-License-Identifier: Apache-2.0
"""Plain shapes in the format of the scenes, to warm both networks up before the real ones exist.

Each picture holds a few coloured shapes over a noisy ground; most carry parts, some parts carry
sub-parts. Nothing here is meant to be recognised later: it teaches edges, colours, and that a
click has a whole, a part and a sub-part.
"""
import argparse
import json
from pathlib import Path

import cv2
import numpy as np

SIDE = 512
COLORS = {"red": (205, 35, 40), "orange": (240, 130, 30), "yellow": (240, 215, 50), "green": (50, 150, 60),
          "blue": (40, 80, 200), "purple": (125, 60, 165), "pink": (240, 140, 175), "brown": (120, 75, 40),
          "black": (30, 30, 32), "white": (240, 240, 238), "grey": (130, 130, 132)}
SHAPES = ["disc", "bar", "triangle", "star", "ring", "cross", "blob"]


def outline(rng, shape, centre, radius):
    """A filled mask (H, W) uint8 of one turned, stretched shape."""
    if shape in ("disc", "ring"):
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        xy = np.stack([np.cos(t), np.sin(t)], 1)
    elif shape == "blob":
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        r = 1 + 0.25 * np.sin(rng.integers(2, 5) * t + rng.uniform(0, 6)) + 0.15 * np.sin(5 * t)
        xy = r[:, None] * np.stack([np.cos(t), np.sin(t)], 1)
    elif shape == "cross":
        a = 0.35
        xy = np.array([(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)])
    else:
        corners = {"bar": 4, "triangle": 3, "star": 10}[shape]
        t = np.arange(corners) * 2 * np.pi / corners
        r = np.where(np.arange(corners) % 2, 0.45, 1.0) if shape == "star" else np.ones(corners)
        xy = r[:, None] * np.stack([np.cos(t), np.sin(t)], 1)
    turn = rng.uniform(0, 2 * np.pi)
    xy = xy * [1, rng.uniform(0.5, 1)] @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(xy * radius + centre).astype(np.int32)], 1)
    if shape == "ring":
        cv2.fillPoly(mask, [np.round(xy * radius * 0.5 + centre).astype(np.int32)], 0)
    return mask


def inside(rng, mask):
    ys, xs = np.nonzero(mask)
    i = rng.integers(len(ys))
    return np.array([xs[i], ys[i]])


def paint(rng, image, mask, color):
    shade = cv2.resize(rng.uniform(0.8, 1.2, (3, 3)).astype(np.float32), (SIDE, SIDE))[..., None]
    tint = np.array(COLORS[color]) + rng.normal(0, 10, 3)
    grain = rng.normal(0, rng.uniform(0, 10), (SIDE, SIDE, 1))
    image[mask > 0] = (tint * shade + grain)[mask > 0]


def scene(rng):
    """-> image, leaf ids, nodes."""
    coarse = rng.integers(2, 24)
    low, span = rng.uniform(40, 200), rng.uniform(5, 70)
    image = cv2.resize((low + span * rng.random((coarse, coarse, 3))).astype(np.float32), (SIDE, SIDE))
    image += rng.normal(0, rng.uniform(0, 12), (SIDE, SIDE, 1))
    leaves, nodes, leaf = np.zeros((SIDE, SIDE), np.uint8), [], 0

    def add(parent, level, mask, shape):
        nonlocal leaf
        leaf += 1
        color = str(rng.choice(list(COLORS)))
        paint(rng, image, mask, color)
        leaves[mask > 0] = leaf
        above = nodes[parent]["category"] if parent is not None else None
        caption = f"{shape} of the {above}" if above else f"{color} {shape}"
        nodes.append({"id": len(nodes), "parent": parent, "level": level, "category": shape, "caption": caption,
                      "description": f"A {color} {shape}.", "leaves": [], "unseen": False})
        me = len(nodes) - 1
        at = me
        while at is not None:  # a leaf belongs to its node and to all above
            nodes[at]["leaves"].append(leaf)
            at = nodes[at]["parent"]
        return me

    for _ in range(rng.integers(2, 8)):
        radius = rng.uniform(30, 130)
        shape = str(rng.choice(SHAPES))
        whole = outline(rng, shape, rng.uniform(30, SIDE - 30, 2), radius)
        if not whole.any():
            continue
        me = add(None, 0, whole, shape)
        for _ in range(rng.integers(0, 4)):
            part = outline(rng, "disc", inside(rng, whole), radius * rng.uniform(0.2, 0.5))
            part *= whole if rng.random() < 0.6 else (leaves == 0) | (whole > 0)
            sub = add(me, 1, part, str(rng.choice(["knob", "patch", "spot"])))
            if rng.random() < 0.4 and part.any():
                tip = outline(rng, "bar", inside(rng, part), radius * 0.2) * part
                add(sub, 2, tip, "dot")
    return np.clip(image, 0, 255).astype(np.uint8), leaves, nodes


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", required=True)
    p.add_argument("--count", type=int, default=1500)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    for n in range(a.count):
        image, leaves, nodes = scene(np.random.default_rng([a.seed, n]))
        stem = str(out / f"{n:06d}")
        cv2.imwrite(stem + ".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        cv2.imwrite(stem + ".png", leaves)
        Path(stem + ".json").write_text(json.dumps({"width": SIDE, "height": SIDE, "nodes": nodes}))


if __name__ == "__main__":
    main()
