# SPDX-License-Identifier: Apache-2.0
"""Trains the labeler in two stages, on one CPU core, by wall clock.

Stage 1 teaches the vision trunk and the mask extractor with three linear heads on the region's
vectors: its category, its colour, and its whole caption as one class. Stage 2 adds the projector
and the LLaMA: the tokens of a picture run once, the questions about its regions stand behind them
in one sequence that a mask keeps apart. At first only some of the 576 image tokens take part (at
their true positions), towards the end all of them.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import augment
import config
from common import Run, normalise, start_from
from models.osprey import Labeler
from scenes_data import Scene
from text import Tokenizer

CAPACITY = {"category": 128, "caption": 4096, "color": 64}


class Heads(nn.Module):
    """Linear classifiers over `<mask>` and `<pos>`; the trunk's scaffolding, not exported."""

    def __init__(self, dim):
        super().__init__()
        self.out = nn.ModuleDict({k: nn.Linear(2 * dim, n) for k, n in CAPACITY.items()})

    def forward(self, vectors):
        return {k: f(vectors) for k, f in self.out.items()}


class Cells(nn.Module):
    """Names the object and the finest node at each cell of res4 and res5: many more answers a picture
    than its regions give, and the deep levels learn to name things by themselves. Not exported."""

    def __init__(self, dims):
        super().__init__()
        self.out = nn.ModuleList(nn.Linear(d, 2 * CAPACITY["category"]) for d in dims)

    def loss(self, levels, maps, table, log):  # levels (B, C, h, w), maps (B, H, W, 2) of category numbers
        total, weight = 0, torch.ones(CAPACITY["category"])
        if table is not None:
            weight[table] = 0.05  # three cells in four: soon known
        for i, (level, head) in enumerate(zip(levels, self.out)):
            step = maps.shape[1] // level.shape[2]
            wanted = maps[:, step // 2::step, step // 2::step].flatten()
            logits = head(level.permute(0, 2, 3, 1)).float().view(-1, CAPACITY["category"])
            total = total + F.cross_entropy(logits, wanted, weight, ignore_index=-100)
            told = (wanted >= 0) & (wanted != table)
            log.setdefault(f"cell{i + 4}", []).append((logits.argmax(1) == wanted)[told].float().mean().item())
        return total


class Classes:
    """Numbers words as they appear; kept in the checkpoint."""

    def __init__(self, tables):
        self.tables = tables

    def number(self, kind, word):
        table = self.tables.setdefault(kind, {})
        if word is None or (word not in table and len(table) >= CAPACITY[kind]):
            return -100
        return table.setdefault(word, len(table))

    def of(self, node):
        caption, category = node["caption"], node["category"]
        colour = caption[:-len(category)].strip() if caption.endswith(category) else ""
        return [self.number("category", category), self.number("caption", caption), self.number("color", colour or None)]


def sample(stem, side, count, full):
    """One picture with up to `count` regions -> image (S, S, 3), masks (R, F, F) uint8 in the full
    frame, their nodes, and the words (S/8, S/8, 2) of [object, finest node].

    A crop of 256 pixels stands somewhere in the frame; a thing must show 0.7 of itself to be asked about."""
    scene = Scene(stem)
    crop = {"keep": 0.6, "least": 0.7} if side == full else {"keep": 0.15, "least": 0.5, "most": 0.95}
    image, leaves, zoom = augment.crop(scene, side, **crop)
    before = np.bincount(scene.leaves.ravel(), minlength=256) * zoom ** 2
    after = np.bincount(leaves.ravel(), minlength=256)
    if leaves.shape != (side, side):  # Osprey squashes the aspect
        image, leaves = (augment.cv2.resize(t, (side, side), interpolation=m) for t, m in
                         ((image, augment.cv2.INTER_LINEAR), (leaves, augment.cv2.INTER_NEAREST)))
    masks, nodes = [], []
    x, y = np.random.randint(0, full - side + 1, 2)
    for i in np.random.permutation(len(scene.nodes)):
        node = scene.nodes[i]
        mask = scene.mask(node, leaves).astype(np.uint8)
        large = node["category"] == "table"
        if mask.sum() < 80 or (not large and after[node["leaves"]].sum() < 0.7 * before[node["leaves"]].sum()):
            continue
        if large and np.random.rand() < 0.6:  # one in every picture: soon known
            continue
        framed = np.zeros((full, full), np.uint8)
        framed[y:y + side, x:x + side] = augment.disturb(mask) if np.random.rand() < 0.4 else mask
        masks.append(framed)
        nodes.append(node)
        if len(nodes) == count:
            break
    chains = scene.chains()[leaves[4::8, 4::8]][..., ::2]
    words = [[[scene.nodes[i]["category"] if i >= 0 else None for i in cell] for cell in row] for row in chains]
    return (augment.jitter(image, False), np.stack(masks), nodes, (x, y), words) if nodes else None


def extract(model, part, levels, side):
    """The regions' <mask> and <pos> vectors: features under the crop's part of the masks, shapes in the whole frame."""
    _, masks, _, (x, y), _ = part
    masks = torch.from_numpy(masks)
    return model.mask_extractor(levels, masks[:, y:y + side, x:x + side], masks)


def stage1_loss(model, heads, classes, parts, levels, side, log):
    vectors, wanted = [], []
    for i, part in enumerate(parts):
        nodes = part[2]
        vectors.append(torch.cat(extract(model, part, [f[i] for f in levels], side), 1))
        wanted += [classes.of(n) for n in nodes]
    wanted, loss = torch.tensor(wanted), 0
    for k, (name, logits) in enumerate(heads(torch.cat(vectors)).items()):
        logits = logits.float()
        if (wanted[:, k] >= 0).any():
            loss = loss + F.cross_entropy(logits, wanted[:, k], label_smoothing=0.02)
            log.setdefault(name, []).append((logits.argmax(1) == wanted[:, k])[wanted[:, k] >= 0].float().mean().item())
    return loss


def stage2_loss(model, tokenizer, prompts, parts, levels, keep, side, log):
    """`keep`: how many image tokens take part. Loss over the answers' tokens."""
    shared, questions = prompts
    at, total = shared.index(tokenizer.image), []
    for i, part in enumerate(parts):
        nodes = part[2]
        mask_vectors, pos_vectors = extract(model, part, [f[i] for f in levels], side)
        image = model.image_tokens(levels[2][i])
        count = len(image)
        chosen = torch.arange(count) if keep >= count else torch.randperm(count)[:keep].sort()[0]
        embed = model.model.embed_tokens
        xs = [embed(torch.tensor(shared[:at])), image[chosen].float(), embed(torch.tensor(shared[at + 1:]))]
        start = len(shared) - 1 + count
        positions = [torch.arange(at), at + chosen, torch.arange(at + count, start)]
        labels = [torch.full((len(shared) - 1 + len(chosen),), -100)]
        block = [torch.full_like(labels[0], -1)]
        for r, node in enumerate(nodes):
            style = np.random.choice(["caption", "category", "description"], p=[0.5, 0.15, 0.35])
            question, answer = questions[style], tokenizer.answer(node[style])
            ids = torch.tensor(question + answer[:-1])
            xs.append(model.splice(ids, tokenizer, mask_vectors[r], pos_vectors[r]))
            positions.append(torch.arange(start, start + len(ids)))
            labels.append(torch.tensor([-100] * (len(question) - 1) + answer))
            block.append(torch.full((len(ids),), r))
        labels, block = torch.cat(labels), torch.cat(block)
        length = len(labels)
        visible = torch.ones(length, length, dtype=torch.bool).tril()
        visible &= (block[None] == -1) | (block[None] == block[:, None])
        hidden, _ = model.model(torch.cat([x.float() for x in xs])[None], torch.cat(positions), visible[None, None])
        spoken = labels >= 0
        logits = model.lm_head(hidden[0, spoken]).float()
        total.append(F.cross_entropy(logits, labels[spoken]))
        log.setdefault("token", []).append((logits.argmax(1) == labels[spoken]).float().mean().item())
    return torch.stack(total).mean()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True, help="checkpoint to write, and to resume from if it exists")
    p.add_argument("--stage", type=int, choices=[1, 2], required=True)
    p.add_argument("--start", help="a checkpoint (stage 2: that of stage 1), or a model folder")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--minutes", type=float, default=50)
    p.add_argument("--small", type=float, default=0.85, help="stage 1: fraction of the time on 256-pixel inputs")
    p.add_argument("--rate", type=float, default=3e-4)
    p.add_argument("--seed", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    torch.manual_seed(a.seed)
    tokenizer = Tokenizer(a.tokenizer)
    model = Labeler({**config.LLM, "vocab_size": tokenizer.size}).to(memory_format=torch.channels_last).train()
    heads = Heads(config.LLM["hidden_size"])
    cells = Cells(config.LLM["mm_vision_dims"][2:])
    both = nn.ModuleDict({"model": model, "heads": nn.ModuleDict({"regions": heads, "cells": cells})})
    extra = start_from(both, a.start, ["vision_tower.safetensors", "labeler.safetensors"])

    def rate(name):  # stage 2 leaves the trunk as stage 1 made it
        if "visual" in name or "heads" in name:
            return (3 * a.rate if "heads" in name else a.rate) if a.stage == 1 else 0
        if "extractor" in name:
            return a.rate if a.stage == 1 else 0.2 * a.rate
        return a.rate if a.stage == 2 else 0

    run = Run(both, rate, a.minutes, a.out, seed=a.seed)
    run.extra = run.extra or extra
    classes, prompts = Classes(run.extra), tokenizer.prompts()
    loss_sum, log, t, full = 0.0, {}, time.time(), config.LABELER["image_size"]
    while run.fraction < 1:
        if a.stage == 1:
            side, batch, count = (256, 8, 16) if run.fraction < a.small else (full, 4, 20)
        else:
            side, batch, count = full, 6, 10
        parts = []
        while len(parts) < batch:
            one = sample(run.sample(a.data, 1)[0], side, count, full)
            parts += [one] if one else []
        images = normalise(np.stack([q[0] for q in parts]), config.LABELER["image_mean"], config.LABELER["image_std"], 1 / 255)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.set_grad_enabled(a.stage == 1):
                levels = model.see(images.contiguous(memory_format=torch.channels_last))
            if a.stage == 1:
                loss = stage1_loss(model, heads, classes, parts, levels, side, log)
                maps = torch.tensor([[[[classes.number("category", w) for w in cell] for cell in row] for row in q[4]] for q in parts])
                loss = loss + 0.4 * cells.loss(levels[2:], maps, classes.tables.get("category", {}).get("table"), log)
            else:
                loss = stage2_loss(model, tokenizer, prompts, parts, levels, 96 if run.fraction < 0.7 else 1024, side, log)
        run.update(loss)
        loss_sum += loss.item()
        if run.step % 100 == 0:
            dt = time.time() - t
            words = " ".join(f"{k} {np.mean(v):.3f}" for k, v in log.items())
            print(f"step {run.step} time {run.fraction:.3f} scenes {len(run.scenes)} side {side} loss {loss_sum / 100:.3f} "
                  f"{words} images/s {100 * batch / dt:.1f}", flush=True)
            loss_sum, log, t = 0.0, {}, time.time()
        run.save()
    run.save(every=0)


if __name__ == "__main__":
    main()
