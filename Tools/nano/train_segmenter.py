# SPDX-License-Identifier: Apache-2.0
"""Trains the segmenter from scratch on generated scenes, on one CPU core, by wall clock.

Most of the time it sees 256-pixel crops, placed somewhere in a frame of the full 384 pixels (so
sizes and positions are those of use), then whole pictures.

A single click has explicit targets: token 0 and token 1 the whole object under it, token 2 its
part, token 3 its sub-part (the finest level there is, repeated). A box or several points mean one
node, the target of all four tokens. Every other step refines a mask with a correction click.
"""
import argparse
import os
import time

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import augment
import config
from common import Run, normalise, start_from
from models.sam import Segmenter
from scenes_data import Scene


def click(mask):
    """A pixel inside the mask, often its most inner one."""
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    if np.random.rand() < 0.35:
        y, x = np.unravel_index(distance.argmax(), distance.shape)
    else:
        ys, xs = np.nonzero(distance >= min(2.0, distance.max()))
        i = np.random.randint(len(ys))
        y, x = ys[i], xs[i]
    return x, y


def box(mask, side):
    """The mask's box, its corners moved by a tenth of its size."""
    ys, xs = np.nonzero(mask)
    b = np.array([xs.min(), ys.min(), xs.max(), ys.max()], np.float32)
    size = np.maximum(b[2:] - b[:2], 2)
    b += np.random.randn(4) * 0.05 * np.tile(size, 2)
    return np.clip(b, 0, side - 1).reshape(2, 2)


def sample(stem, side, count, several):
    """One picture with `count` prompts -> image (S, S, 3), points (P, N, 2), labels (P, N),
    targets (P, 3, S/4, S/4), valid size, words (S/16, S/16) of [object, finest node];
    `several` > 0 asks for that many points a prompt."""
    scene = Scene(stem)
    whole = side == config.SEGMENTER["image_size"]
    crop = {"keep": 0.5, "least": 0.6} if whole else {"keep": 0.2, "least": 0.5, "most": 0.95}
    image, leaves, _ = augment.crop(scene, side, **crop)
    image = augment.pad(augment.jitter(image, True), side)
    valid = leaves.shape
    chains = scene.chains()[augment.pad(leaves, side)]  # (S, S, 3) node indices
    chains[valid[0]:] = chains[:, valid[1]:] = -1
    areas = [np.bincount(chains[..., level].ravel() + 1, minlength=len(scene.nodes) + 1)[1:] for level in range(3)]
    nodes = [(n["level"], i) for i, n in enumerate(scene.nodes) if areas[n["level"]][i] >= 12]
    if not nodes:
        return None
    weight = np.array([(1.0, 1.0, 0.8)[level] / sum(n[0] == level for n in nodes) for level, _ in nodes])
    points, labels, targets = [], [], []
    for pick in np.random.choice(len(nodes), count, p=weight / weight.sum()):
        level, i = nodes[pick]
        mask = (chains[..., level] == i).astype(np.uint8)
        if several:
            xy = [click(mask) for _ in range(several)]
            sign = [1] * several
            near = cv2.dilate(mask, np.ones((15, 15), np.uint8)) - mask
            if np.random.rand() < 0.4 and near.any():
                ys, xs = np.nonzero(near)
                j = np.random.randint(len(ys))
                xy[-1], sign[-1] = (xs[j], ys[j]), 0
            points.append(np.array(xy + [(0, 0)], np.float32))
            labels.append(sign + [-1])
            target = [mask] * 3
        elif np.random.rand() < 0.25:
            points.append(box(mask, side))
            labels.append([2, 3])
            target = [mask] * 3
        else:
            x, y = click(mask)
            points.append(np.array([(x, y), (0, 0)], np.float32))
            labels.append([1, -1])
            target = [chains[..., k] == chains[y, x, k] for k in range(3)]
        targets.append([np.asarray(t, np.float32).reshape(side // 4, 4, side // 4, 4).mean((1, 3)) for t in target])
    words = [[[scene.nodes[i]["category"] if i >= 0 else None for i in cell] for cell in row]
             for row in chains[8::16, 8::16, ::2]]
    return image, np.stack(points), np.array(labels), np.array(targets), valid, words


def mask_loss(logits, iou, target):
    """logits (P, 4, h, w), iou (P, 4), soft targets (P, 4, h, w) -> loss, actual IoU (P, 4)."""
    logits = logits.float()
    p = logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (bce * (p - target).abs().square()).mean((2, 3))
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / ((p + target).sum((2, 3)) + 1)
    with torch.no_grad():
        a, b = logits > 0, target > 0.5
        actual = (a & b).sum((2, 3)) / (a | b).sum((2, 3)).clamp(min=1)
    return (20 * focal + dice + (iou.float() - actual).square()).mean(), actual


def correction(logits, points, labels, target):
    """Adds a click in the error region of one of the four masks, which then is the only target."""
    rows = torch.arange(len(logits))
    token = torch.randint(4, (len(logits),))
    previous, wanted = logits.detach().float()[rows, token], target[rows, token]  # (P, h, w)
    error = (previous > 0) != (wanted > 0.5)
    weight = error.flatten(1).float() + 1e-6 * (wanted > 0.5).flatten(1) + 1e-12
    at = torch.multinomial(weight, 1)[:, 0]
    h, w = previous.shape[1:]
    new = torch.stack([at % w, at // w], -1) * 4 + 1.5
    sign = (wanted.flatten(1)[rows, at] > 0.5).long()
    if labels[0, -1] == -1 or (labels[:, -1] == -1).any():  # keep one layout: insert before the last token
        points = torch.cat([points[:, :1], new[:, None], points[:, 1:]], 1)
        labels = torch.cat([labels[:, :1], sign[:, None], labels[:, 1:]], 1)
        boxed = labels[:, 0] == 2  # a box keeps its corners together, behind the click
        points[boxed, 0], points[boxed, 1] = points[boxed, 1].clone(), points[boxed, 0].clone()
        labels[boxed, 0], labels[boxed, 1] = labels[boxed, 1].clone(), labels[boxed, 0].clone()
    else:
        points, labels = torch.cat([new[:, None], points], 1), torch.cat([sign[:, None], labels], 1)
    return points, labels, previous[:, None].clamp(-20, 20), wanted[:, None].expand(-1, 4, -1, -1)


class Words(nn.Module):
    """Names the object and the finest node at each cell of the grid: an extra task that teaches the
    encoder early what belongs together. Not exported."""

    def __init__(self, dim, table, capacity=128):
        super().__init__()
        self.out, self.table, self.capacity = nn.Linear(dim, 2 * capacity), table, capacity

    def loss(self, features, words):  # (B, L, C), nested lists of B·L pairs
        number = [self.table.setdefault(w, len(self.table)) if w else -100
                  for picture in words for row in picture for cell in row for w in cell]
        number = torch.tensor(number).view(-1, 2)
        number[number >= self.capacity] = -100
        logits = self.out(features).float().view(-1, 2, self.capacity)
        return F.cross_entropy(logits.flatten(0, 1), number.flatten())


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True, help="checkpoint to write, and to resume from if it exists")
    p.add_argument("--start", help="checkpoint of a warm-up, or a model folder")
    p.add_argument("--minutes", type=float, default=80)
    p.add_argument("--small", type=float, default=0.7, help="fraction of the time on 384-pixel crops")
    p.add_argument("--rate", type=float, default=2.5e-4)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    torch.manual_seed(a.seed)
    cfg = config.SEGMENTER
    model = Segmenter(cfg).to(memory_format=torch.channels_last).train()
    words = Words(cfg["prompt_embed_dim"], {})
    both = nn.ModuleDict({"model": model, "heads": words})
    extra = start_from(both, a.start, ["segmenter.safetensors"])
    run = Run(both, lambda name: a.rate, a.minutes, a.out, seed=a.seed)
    run.extra = run.extra or extra
    words.table = run.extra
    log = {"loss": 0.0, "iou": torch.zeros(4), "n": 0, "t": time.time(), "data": 0.0}
    while run.fraction < 1:
        small = run.fraction < a.small
        side, batch, count = (384, 4, 10) if small else (cfg["image_size"], 3, 10)
        frame = (*np.random.randint(0, cfg["image_size"] - side + 1, 2).tolist(), cfg["image_size"])
        t = time.time()
        several = np.random.randint(2, 5) if np.random.rand() < 0.15 else 0
        parts = []
        while len(parts) < batch:
            one = sample(run.sample(a.data, 1)[0], side, count, several)
            parts += [one] if one else []
        images = normalise(np.stack([q[0] for q in parts]), cfg["pixel_mean"], cfg["pixel_std"])
        for i, q in enumerate(parts):  # the padding is zero after normalisation
            images[i, :, q[4][0]:] = images[i, :, :, q[4][1]:] = 0
        points, labels, target = (torch.from_numpy(np.concatenate([q[k] for q in parts])) for k in (1, 2, 3))
        target = torch.cat([target[:, :1], target], 1)
        owner = torch.arange(batch).repeat_interleave(count)
        log["data"] += time.time() - t
        with torch.autocast("cpu", torch.bfloat16):
            features = model.encode(images.contiguous(memory_format=torch.channels_last))
            logits, iou = model.decode(features, owner, points, labels, frame=frame)
            loss, actual = mask_loss(logits, iou, target)
            loss = loss + 0.15 * words.loss(features, [q[5] for q in parts])
            if np.random.rand() < 0.4:
                points, labels, masks, target = correction(logits, points, labels, target)
                again, iou = model.decode(features, owner, points, labels, masks, frame)
                loss = loss + 0.6 * mask_loss(again, iou, target)[0]
        run.update(loss)
        if not several:
            log["iou"] += actual.mean(0)
            log["n"] += 1
        log["loss"] += loss.item()
        if run.step % 100 == 0:
            dt = time.time() - log["t"]
            print(f"step {run.step} time {run.fraction:.3f} scenes {len(run.scenes)} side {side} loss {log['loss'] / 100:.4f} "
                  f"iou {' '.join(f'{v:.3f}' for v in (log['iou'] / log['n']).tolist())} "
                  f"images/s {100 * batch / dt:.1f} data {log['data'] / dt:.2f}", flush=True)
            log = {"loss": 0.0, "iou": torch.zeros(4), "n": 0, "t": time.time(), "data": 0.0}
        run.save()
    run.save(every=0)


if __name__ == "__main__":
    main()
