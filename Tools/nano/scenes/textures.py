# SPDX-License-Identifier: Apache-2.0
"""Procedural textures and the palette of colour words."""
import cv2
import numpy as np

PALETTE = {
    "red": (.80, .08, .08), "orange": (.95, .47, .05), "yellow": (.95, .84, .12),
    "green": (.13, .58, .18), "blue": (.10, .28, .80), "purple": (.47, .15, .63),
    "pink": (.96, .52, .68), "brown": (.38, .21, .10), "white": (.93, .93, .92),
    "gray": (.47, .47, .47), "black": (.07, .07, .075),
}
COLOURS = list(PALETTE)
MATERIALS = ["wooden", "metal", "clear"]


def noise(rng, size, octaves=4, stretch=(1, 1)):
    """Smooth noise in 0..1; `stretch` lengthens its grain per axis."""
    out = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = 3 * 2 ** octave
        grid = rng.random((max(2, cells // stretch[0]), max(2, cells // stretch[1]))).astype(np.float32)
        out += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) * .5 ** octave
    low, high = out.min(), out.max()
    return (out - low) / (high - low + 1e-6)


def _picture(shade, dark, light):
    shade = np.clip(shade, 0, 1)[..., None]
    rgb = np.asarray(dark) * (1 - shade) + np.asarray(light) * shade
    return (np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def wood(rng, size=128):
    grain = noise(rng, size, 5, (1, 6) if rng.random() < .5 else (6, 1))
    rings = .5 + .5 * np.sin(grain * rng.uniform(18, 40))
    hue = rng.uniform(0, 1)
    dark = np.array([.36, .20, .09]) * (1 - hue) + np.array([.60, .38, .18]) * hue
    light = np.array([.62, .40, .21]) * (1 - hue) + np.array([.86, .66, .42]) * hue
    return _picture(.7 * rings + .3 * grain, dark, light)


def metal(rng, size=128):
    """Brushed bands: a stand-in for the reflections of a shiny surface."""
    rows = np.linspace(0, np.pi * rng.uniform(2, 5), size)[:, None] + rng.uniform(0, 6)
    bands = .5 + .5 * np.sin(rows + .8 * noise(rng, size, 2))
    return _picture(.8 * bands + .2 * rng.random((size, size)), (.50, .51, .54), (.90, .91, .93))


def pattern(rng, kind, size=128):
    """A near-white picture that a material's colour tints."""
    y, x = np.mgrid[:size, :size] / size
    n = int(rng.integers(2, 8))
    if kind == "noise":
        shade = noise(rng, size)
    elif kind == "stripes":
        shade = ((x * n) % 1 > .5) if rng.random() < .5 else ((y * n) % 1 > .5)
    elif kind == "checks":
        shade = ((x * n) % 1 > .5) ^ ((y * n) % 1 > .5)
    elif kind == "marble":
        shade = np.abs(np.sin(6 * x + 9 * noise(rng, size, 5))) ** .4
    elif kind == "speckle":
        shade = cv2.blur((rng.random((size, size)) > .06).astype(np.float32), (3, 3))
    elif kind == "dots":
        shade = np.hypot((x * n) % 1 - .5, (y * n) % 1 - .5) > .25
    else:
        shade = np.ones((size, size))
    low = 1 - rng.uniform(.12, .35)
    return _picture(np.asarray(shade, np.float32), (low,) * 3, (1, 1, 1))


KINDS = ["plain", "noise", "stripes", "checks", "marble", "speckle", "dots"]


def surface(rng, size=256):
    """Any picture for floors, walls and backgrounds; its colours carry no label."""
    if rng.random() < .25:
        return wood(rng, size)
    tint = rng.uniform(.15, 1, 3) if rng.random() < .5 else np.full(3, rng.uniform(.2, 1))
    base = pattern(rng, KINDS[rng.integers(len(KINDS))], size).astype(np.float32)
    base *= .8 + .2 * noise(rng, size, 5)[..., None]
    return (base * tint).astype(np.uint8)


def tint(rng, word):
    """The colour of a palette word, jittered within its class."""
    rgb = np.asarray(PALETTE[word]) * rng.uniform(.88, 1.08) + rng.uniform(-.03, .03, 3)
    if word in ("white", "gray", "black"):
        rgb = np.full(3, rgb.mean()) + rng.uniform(-.012, .012, 3)
    return np.clip(rgb, .01, 1)
