# SPDX-License-Identifier: Apache-2.0
"""What both trainers share: a schedule by wall clock, averaged weights, resumable checkpoints."""
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from optimizer import Both
from scenes_data import list_scenes


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def start_from(both, path, files):
    """Loads `both` ("model" and "heads") from a checkpoint or, as far as they go, from an exported model folder's `files`.

    Returns the checkpoint's extra. A folder has no heads: they begin at zero, so that they pull at the model only
    once they have learnt something themselves. What has changed its shape since (the vocabulary) begins anew."""
    if not path:
        return {}
    if Path(path).is_dir():
        state = {"ema": {f"model.{k}": v.float() for f in files for k, v in load_file(Path(path) / f).items()}, "extra": {}}
        with torch.no_grad():
            for p in both["heads"].parameters():
                p.zero_()
    else:
        state = torch.load(path, weights_only=False)
    own = both.state_dict()
    known = {k: v for k, v in state["ema"].items() if k in own and v.shape == own[k].shape}
    print(f"{path}: {len(known)} tensors of {len(own)}", flush=True)
    both.load_state_dict(known, strict=False)
    return state["extra"]


class Run:
    """One training run of `minutes`. `fraction` (0..1) is the time used so far, over all resumes."""

    def __init__(self, model, rate, minutes, path, decay=0.999, seed=0):
        """`rate`: parameter name -> its rate, 0 for one that stays as it is."""
        self.model, self.path, self.minutes, self.decay = model, Path(path), minutes, decay
        for name, p in model.named_parameters():
            p.requires_grad_(rate(name) > 0)
        self.optimizer = Both([(n, p, rate(n)) for n, p in model.named_parameters()])
        self.base = [g["lr"] for g in self.optimizer.param_groups]
        self.ema = {k: v.clone() for k, v in model.state_dict().items() if v.is_floating_point()}
        self.step, self.used, self.mark, self.saved, self.extra = 0, 0.0, time.time(), 0.0, {}
        self.scenes, self.listed = [], 0.0
        seed_all(seed)
        if self.path.exists():
            self.resume()

    @property
    def fraction(self):
        return min(1.0, (self.used + time.time() - self.mark) / (60 * self.minutes))

    def update(self, loss, warmup=100, floor=0.02):
        """Backward, one step at the scheduled rate, and the moving average."""
        cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * self.fraction))
        for group, base in zip(self.optimizer.param_groups, self.base):
            group["lr"] = base * cosine * min(1.0, (self.step + 1) / warmup)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.decay, self.step / (self.step + 50))
        now = self.model.state_dict()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.values()), [now[k] for k in self.ema], 1 - decay)

    def sample(self, folder, count):
        """`count` random scenes; lists the folder again every minute, since it may still grow."""
        while not self.scenes or time.time() - self.listed > 60:
            self.scenes, self.listed = list_scenes(folder), time.time()
            if not self.scenes:
                time.sleep(5)
                self.mark = time.time() if self.step == 0 else self.mark
        return random.choices(self.scenes, k=count)

    def save(self, every=300):
        if time.time() - self.saved < every:
            return
        state = {"model": self.model.state_dict(), "ema": self.ema, "optimizer": self.optimizer.state_dict(),
                 "step": self.step, "used": self.used + time.time() - self.mark, "extra": self.extra,
                 "rng": (random.getstate(), np.random.get_state(), torch.get_rng_state())}
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.rename(self.path)
        self.saved = time.time()

    def resume(self):
        state = torch.load(self.path, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema, self.step, self.used, self.extra = (state[k] for k in ("ema", "step", "used", "extra"))
        random.setstate(state["rng"][0])
        np.random.set_state(state["rng"][1])
        torch.set_rng_state(state["rng"][2])


def normalise(images, mean, std, scale=1.0):
    """(B, S, S, 3) uint8 -> (B, 3, S, S) in `channels_last`."""
    x = torch.from_numpy(images).float() * scale
    return ((x - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)
