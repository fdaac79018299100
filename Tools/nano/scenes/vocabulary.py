# SPDX-License-Identifier: Apache-2.0
"""Every word of the scenes, and how often an object is drawn."""
import numpy as np

from . import kitchen, office, tools  # noqa: F401  (they register their builders)
from .bodies import BUILDERS, Body
from .textures import COLOURS, MATERIALS


def draw(rng, split):
    """The words of a scene's objects, and which of them are variants reserved for evaluation."""
    words = sorted(BUILDERS)
    count = int(rng.integers(3, 10))
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
