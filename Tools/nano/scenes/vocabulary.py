# SPDX-License-Identifier: Apache-2.0
"""Every word of the scenes, and how often an object is drawn."""
import numpy as np

from . import furniture, kitchen, office, tools, toys
from .bodies import BUILDERS, Body
from .textures import COLOURS, MATERIALS


GROUPS = {m.__name__.rpartition(".")[2]: {w for w, f in BUILDERS.items() if f.__module__ == m.__name__}
          for m in (furniture, kitchen, office, tools, toys)}


def draw(rng, split, groups=tuple(GROUPS), favoured=()):
    """The words of a scene's objects, and which of them are variants reserved for evaluation.

    `favoured` groups come four times as often as the others.
    """
    words = sorted(set().union(*(GROUPS[g] for g in groups)))
    count = int(rng.integers(3, 10))
    if favoured:
        wanted = set().union(*(GROUPS[g] for g in favoured))
        weight = np.array([4. if w in wanted else 1. for w in words])
        chosen = [words[n] for n in rng.choice(len(words), count, replace=False, p=weight / weight.sum())]
    else:
        chosen = [words[n] for n in rng.permutation(len(words))[:count]]
    if rng.random() < .3:
        chosen.append(chosen[0])
    reserved = [split != "train" and bool(rng.random() < .36) for _ in chosen]
    return chosen, reserved


def words():
    """All category words, found by building every kind of body many times."""
    parts = {"leg"}
    for word, builder in BUILDERS.items():
        for seed in range(12):
            body = Body(word, np.random.default_rng(seed))
            builder(body)
            parts |= {step.split("#")[0] for path in body.parts for step in path.split("/")}
    return {"objects": sorted({*BUILDERS, "table"}), "parts": sorted(parts), "colours": COLOURS + MATERIALS}
