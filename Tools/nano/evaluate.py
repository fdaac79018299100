# SPDX-License-Identifier: Apache-2.0
"""Measures both networks on held-out scenes, with the preprocessing of the Swift runtime.

A click is the most inner pixel of the true mask. "single" is token 0, "best" the best of the
three multimask tokens; phrases count when they equal the caption, on the true mask and on the
clicked one (token 0 for objects, the best token for parts).
"""
import argparse
import collections
import json
import os

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import config
from augment import pad
from common import normalise
from models.osprey import Labeler
from models.sam import Segmenter
from scenes_data import Scene, inner_point, list_scenes
from text import Tokenizer


def load(module, path):
    """The averaged weights of a checkpoint; says what does not fit."""
    state = torch.load(path, weights_only=False)["ema"]
    state = {k.removeprefix("model."): v for k, v in state.items() if not k.startswith("heads.")}
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing), (missing, unexpected)
    return module.eval()


def click_masks(model, scene, masks):
    """-> bool (R, 4, H, W): all four tokens for one click a mask."""
    cfg = config.SEGMENTER
    side, (h, w) = cfg["image_size"], scene.leaves.shape
    zoom = side / max(h, w)
    size = int(w * zoom + 0.5), int(h * zoom + 0.5)
    image = scene.image if size == (w, h) else cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA)
    x = normalise(pad(image, side)[None], cfg["pixel_mean"], cfg["pixel_std"])
    x[:, :, size[1]:] = x[..., size[0]:] = 0
    points = torch.tensor([[inner_point(m), (0, 0)] for m in masks], dtype=torch.float32) * torch.tensor([size[0] / w, size[1] / h])
    labels = torch.tensor([[1, -1]] * len(masks))
    logits, _ = model.decode(model.encode(x), torch.zeros(len(masks), dtype=torch.long), points, labels)
    logits = F.interpolate(logits, (side, side), mode="bilinear")[..., :size[1], :size[0]]
    return F.interpolate(logits, (h, w), mode="bilinear") > 0


def phrases(model, tokenizer, scene, masks, style="caption"):
    """Greedy answers about masks (R, H, W)."""
    cfg = config.LABELER
    side = cfg["image_size"]
    image = cv2.resize(scene.image, (side, side), interpolation=cv2.INTER_AREA) if scene.leaves.shape != (side, side) else scene.image
    levels = model.see(normalise(np.ascontiguousarray(image)[None], cfg["image_mean"], cfg["image_std"], 1 / 255))
    mask_vectors, pos_vectors = model.mask_extractor([f[0] for f in levels], masks)
    shared, questions = tokenizer.prompts()
    caches, length = model.prefix(shared, levels[2][0], tokenizer)
    ids = torch.tensor(questions[style])
    prompts = torch.stack([model.splice(ids, tokenizer, m, p) for m, p in zip(mask_vectors, pos_vectors)])
    return [tokenizer.decode(a) for a in model.answer(caches, length, prompts, tokenizer)]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--segmenter", help="checkpoint")
    p.add_argument("--labeler", help="checkpoint of stage 2")
    p.add_argument("--tokenizer")
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--half", action="store_true", help="round the weights to float16 first")
    p.add_argument("--show", type=int, default=0, help="print that many answers")
    a = p.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    segmenter = load(Segmenter(config.SEGMENTER), a.segmenter) if a.segmenter else None
    tokenizer = Tokenizer(a.tokenizer) if a.labeler else None
    labeler = load(Labeler({**config.LLM, "vocab_size": tokenizer.size}), a.labeler) if a.labeler else None
    for module in filter(None, (segmenter, labeler)) if a.half else ():
        module.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in module.state_dict().items()})
    scores = collections.defaultdict(list)
    with torch.inference_mode():
        for stem in list_scenes(a.data)[:a.count]:
            scene = Scene(stem)
            pairs = [(n, m) for n, m in ((n, scene.mask(n)) for n in scene.nodes) if m.any()]
            if not pairs:
                continue
            nodes, truth = [n for n, _ in pairs], torch.from_numpy(np.stack([m for _, m in pairs]))
            kinds = [("object", "part", "subpart")[n["level"]] + (" (table)" if n["category"] == "table" else "") + (" unseen" if n.get("unseen") else "") for n in nodes]
            clicked = None
            if segmenter:
                found = click_masks(segmenter, scene, truth.numpy())  # (R, 4, H, W)
                iou = (found & truth[:, None]).sum((2, 3)) / (found | truth[:, None]).sum((2, 3)).clamp(min=1)
                for kind, row in zip(kinds, iou.tolist()):
                    scores["single mIoU", kind].append(row[0])
                    scores["best mIoU", kind].append(max(row[1:]))
                    scores["own token mIoU", kind].append(row[1 + ("object", "part", "subpart").index(kind.split()[0])])
                token = [0 if n["level"] == 0 else 1 + int(row[1:].argmax()) for n, row in zip(nodes, iou)]
                clicked = found[torch.arange(len(nodes)), torch.tensor(token)]
            if labeler:
                masks = {"truth": truth} | ({"click": clicked} if segmenter else {})
                for name, these in masks.items():
                    for style in ("caption", "category"):
                        for node, kind, said in zip(nodes, kinds, phrases(labeler, tokenizer, scene, these.float(), style)):
                            scores[f"{style} on {name}", kind].append(float(said == node[style]))
                            if style == "caption" and a.show > 0:
                                a.show -= 1
                                print(f"{name} {kind}: {node['caption']!r} -> {said!r}")
    for (name, kind), values in sorted(scores.items()):
        print(f"{name:22} {kind:16} {np.mean(values):.3f}  n {len(values)}")
    print(json.dumps({f"{n} / {k}": round(float(np.mean(v)), 4) for (n, k), v in sorted(scores.items())}))


if __name__ == "__main__":
    main()
