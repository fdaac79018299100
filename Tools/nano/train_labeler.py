# SPDX-License-Identifier: Apache-2.0
"""Trains the labeler in two stages, on one CPU core, by wall clock.

Stage 1 teaches the vision trunk and the mask extractor with three linear heads on the region's
vectors: its category, its colour, and its whole caption as one class. Stage 2 adds the projector
and the LLaMA: the tokens of a picture run once, the questions about its regions stand behind them
in one sequence that a mask keeps apart. At first only some of the 1024 image tokens take part (at
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
from common import Run, normalise
from models.osprey import Labeler
from scenes_data import Scene
from text import Tokenizer

CAPACITY = {"category": 512, "caption": 4096, "color": 64}


class Heads(nn.Module):
    """Linear classifiers over `<mask>` and `<pos>`; the trunk's scaffolding, not exported."""

    def __init__(self, dim):
        super().__init__()
        self.out = nn.ModuleDict({k: nn.Linear(2 * dim, n) for k, n in CAPACITY.items()})

    def forward(self, vectors):
        return {k: f(vectors) for k, f in self.out.items()}


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


def sample(stem, side, count):
    """One picture with up to `count` regions -> image (S, S, 3), masks (R, S, S) uint8, nodes."""
    scene = Scene(stem, reduced=side <= 256)
    image, leaves = augment.crop(scene, side, keep=0.5, least=0.55)
    if leaves.shape != (side, side):  # Osprey squashes the aspect
        image, leaves = (augment.cv2.resize(t, (side, side), interpolation=m) for t, m in
                         ((image, augment.cv2.INTER_LINEAR), (leaves, augment.cv2.INTER_NEAREST)))
    masks, nodes = [], []
    for i in np.random.permutation(len(scene.nodes)):
        node = scene.nodes[i]
        mask = scene.mask(node, leaves).astype(np.uint8)
        if mask.sum() < 20 * (side / 256) ** 2:
            continue
        masks.append(augment.disturb(mask) if np.random.rand() < 0.4 else mask)
        nodes.append(node)
        if len(nodes) == count:
            break
    return (augment.jitter(image, False), np.stack(masks), nodes) if nodes else None


def stage1_loss(model, heads, classes, parts, levels, log):
    vectors, wanted = [], []
    for i, (_, masks, nodes) in enumerate(parts):
        vectors.append(torch.cat(model.mask_extractor([f[i] for f in levels], torch.from_numpy(masks)), 1))
        wanted += [classes.of(n) for n in nodes]
    wanted, loss = torch.tensor(wanted), 0
    for k, (name, logits) in enumerate(heads(torch.cat(vectors)).items()):
        logits = logits.float()
        if (wanted[:, k] >= 0).any():
            loss = loss + F.cross_entropy(logits, wanted[:, k], label_smoothing=0.02)
            log.setdefault(name, []).append((logits.argmax(1) == wanted[:, k])[wanted[:, k] >= 0].float().mean().item())
    return loss


def stage2_loss(model, tokenizer, prompts, parts, levels, keep, log):
    """`keep`: how many image tokens take part. Loss over the answers' tokens."""
    shared, questions = prompts
    at, total = shared.index(tokenizer.image), []
    for i, (_, masks, nodes) in enumerate(parts):
        mask_vectors, pos_vectors = model.mask_extractor([f[i] for f in levels], torch.from_numpy(masks))
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
    p.add_argument("--start", help="stage 2: the checkpoint of stage 1")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--minutes", type=float, default=50)
    p.add_argument("--small", type=float, default=0.65, help="stage 1: fraction of the time on 256-pixel inputs")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--seed", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    torch.manual_seed(a.seed)
    tokenizer = Tokenizer(a.tokenizer)
    model = Labeler({**config.LLM, "vocab_size": tokenizer.size}).to(memory_format=torch.channels_last).train()
    heads = Heads(config.LLM["hidden_size"])
    both = nn.ModuleDict({"model": model, "heads": heads})
    extra = {}
    if a.start:
        state = torch.load(a.start, weights_only=False)
        own = both.state_dict()  # the vocabulary may have changed since
        both.load_state_dict({k: v for k, v in state["ema"].items() if v.shape == own[k].shape}, strict=False)
        extra = state["extra"]
    seeing = [q for n, q in both.named_parameters() if "visual" in n or "extractor" in n or "heads" in n]
    talking = [q for n, q in both.named_parameters() if not ("visual" in n or "extractor" in n or "heads" in n)]
    groups = []
    for members, rate in ((seeing, a.rate if a.stage == 1 else 0.2 * a.rate), (talking, a.rate if a.stage == 2 else 0)):
        groups += [{"params": [q for q in members if q.ndim > 1], "lr": rate},
                   {"params": [q for q in members if q.ndim < 2], "lr": rate, "weight_decay": 0.0}]
    run = Run(both, groups, a.minutes, a.out, seed=a.seed)
    run.extra = run.extra or extra
    classes, prompts = Classes(run.extra), tokenizer.prompts()
    loss_sum, log, t = 0.0, {}, time.time()
    while run.fraction < 1:
        if a.stage == 1:
            small = run.fraction < a.small
            side, batch, count = (256, 6, 20) if small else (512, 3, 20)
        else:
            side, batch, count = config.LABELER["image_size"], 6, 10
        parts = []
        while len(parts) < batch:
            one = sample(run.sample(a.data, 1)[0], side, count)
            parts += [one] if one else []
        images = normalise(np.stack([q[0] for q in parts]), config.LABELER["image_mean"], config.LABELER["image_std"], 1 / 255)
        with torch.autocast("cpu", torch.bfloat16):
            levels = model.see(images.contiguous(memory_format=torch.channels_last))
            loss = stage1_loss(model, heads, classes, parts, levels, log)
            if a.stage == 2:
                keep = 96 if run.fraction < 0.7 else 1024
                loss = 0.3 * loss + stage2_loss(model, tokenizer, prompts, parts, levels, keep, log)
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
