# SPDX-License-Identifier: Apache-2.0
"""Augmentations of a scene, all drawn from numpy's global generator."""
import cv2
import numpy as np


def crop(scene, side, keep=0.4, least=0.45, most=1.0, aspect=0.3):
    """A random crop of `least` to `most` of the picture (with probability `keep` all of it), maybe
    mirrored, its longest side scaled to `side` -> image (h, w, 3), leaves (h, w), that scale."""
    image, leaves = scene.image, scene.leaves
    full_h, full_w = leaves.shape
    scale = full_w / image.shape[1]  # 2 for a picture decoded at half size
    w, h = full_w, full_h
    if np.random.rand() > keep:
        s = np.random.uniform(least, most)
        stretch = np.exp(np.random.uniform(-aspect, aspect) / 2)
        w, h = min(full_w, int(full_w * s * stretch)), min(full_h, int(full_h * s / stretch))
    x, y = np.random.randint(full_w - w + 1), np.random.randint(full_h - h + 1)
    leaves = leaves[y:y + h, x:x + w]
    x0, y0, x1, y1 = (int(round(v / scale)) for v in (x, y, x + w, y + h))
    image = image[y0:y1, x0:x1]
    zoom = side / max(w, h)
    size = max(16, int(w * zoom + 0.5)), max(16, int(h * zoom + 0.5))
    shrinks = size[0] < image.shape[1]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    leaves = cv2.resize(leaves, size, interpolation=cv2.INTER_NEAREST)
    if np.random.rand() < 0.5:
        image, leaves = image[:, ::-1], leaves[:, ::-1]
    return image, np.ascontiguousarray(leaves), zoom


def pad(array, side):
    """Zeros to the right and below, to side×side."""
    rest = [(0, side - array.shape[0]), (0, side - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, rest)


def jitter(image, strong):
    """Photometric noise on uint8 RGB; `strong` may change the hues (for masks, not for words)."""
    x = image.astype(np.float32)
    a = 0.35 if strong else 0.12
    x = (x - 128) * np.random.uniform(1 - a, 1 + a) + 128 + np.random.uniform(-a, a) * 90
    tint = 0.3 if strong else 0.04
    x *= np.random.uniform(1 - tint, 1 + tint, 3).astype(np.float32)
    if strong and np.random.rand() < 0.2:
        x = x[:, :, np.random.permutation(3)]
    if strong and np.random.rand() < 0.1:
        x = np.repeat(x.mean(2, keepdims=True), 3, 2)
    if np.random.rand() < 0.15:
        x = cv2.GaussianBlur(x, (0, 0), np.random.uniform(0.4, 1.2))
    if np.random.rand() < 0.2:
        noise = np.random.randn(*x.shape[:2], 1).astype(np.float32)
        x = x + noise * np.random.uniform(1, 8)
    return np.clip(x, 0, 255).astype(np.uint8)


def disturb(mask):
    """Makes a true mask look predicted: shifted border, blobs, a cut. uint8 (H, W) -> same."""
    h, w = mask.shape
    kind, out = np.random.rand(), mask
    size = max(1.0, np.sqrt(mask.sum()))
    if kind < 0.35:  # wider or narrower
        k = 1 + 2 * np.random.randint(0, max(1, int(0.05 * size)) + 1)
        out = (cv2.dilate if np.random.rand() < 0.5 else cv2.erode)(mask, np.ones((k, k), np.uint8))
    elif kind < 0.85:  # blurred border plus coarse noise, as low-resolution logits have it
        blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.5 + 0.06 * size * np.random.rand())
        coarse = np.random.randn(*(np.random.randint(6, 40, 2))).astype(np.float32)
        noise = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR)
        out = (blurred + noise * np.random.uniform(0.05, 0.3) * (blurred > 0.02) > 0.5).astype(np.uint8)
    else:  # a straight cut
        ys, xs = np.nonzero(mask)
        if len(xs):
            angle = np.random.uniform(0, 2 * np.pi)
            d = np.cos(angle) * np.arange(w)[None] + np.sin(angle) * np.arange(h)[:, None]
            out = mask * (d < np.quantile(d[ys, xs], np.random.uniform(0.6, 0.95)))
    return out.astype(np.uint8) if out.sum() >= 0.3 * mask.sum() else mask
