# SPDX-License-Identifier: Apache-2.0
"""A body: geoms, each under a node of the tree object / part / sub-part.

A builder is a function `build(b)` registered under its word. It draws its proportions with
`b.u` and `b.pick`, whose discretised values name the shape variant: one in five variants is
reserved for evaluation.
"""
import zlib
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from . import lathe
from .textures import COLOURS

BUILDERS = {}
STEPS = 6


def builder(word):
    def register(function):
        BUILDERS[word] = function
        return function
    return register


@dataclass
class Geom:
    node: str
    kind: str
    paint: str
    size: tuple = ()
    pos: tuple = (0, 0, 0)
    turn: tuple = (0, 0, 0)
    mesh: tuple = None


@dataclass
class Body:
    word: str
    rng: np.random.Generator
    geoms: list = field(default_factory=list)
    points: list = field(default_factory=list)
    shape: list = field(default_factory=list)
    roles: dict = field(default_factory=lambda: {"main": COLOURS})
    lies: bool = False          # may lie on its side
    flat: bool = False          # small and flat enough to be put on or in another
    support: tuple = None       # (height, radius) of a place for a small thing
    parts: list = field(default_factory=list)

    def u(self, low, high):
        step = int(self.rng.integers(STEPS))
        self.shape.append(step)
        return low + (high - low) * (step + .5) / STEPS

    def pick(self, *options):
        step = int(self.rng.integers(len(options)))
        self.shape.append(step)
        return options[step]

    def chance(self, share):
        step = int(self.rng.random() < share)
        self.shape.append(step)
        return bool(step)

    @property
    def reserved(self):
        return zlib.crc32(repr((self.word, self.shape)).encode()) % 5 == 0

    def paint(self, role, *words):
        """Limits the colours and materials a role may take; none means every colour."""
        self.roles[role] = list(words) or COLOURS

    def part(self, word, under=""):
        path = f"{under}/{word}" if under else word
        count = sum(p.rsplit("#", 1)[0] == path for p in self.parts)
        self.parts.append(f"{path}#{count}")
        return self.parts[-1]

    def _add(self, geom, points):
        if geom.kind != "mesh":
            points = Rotation.from_euler("xyz", geom.turn, True).apply(points) + geom.pos
        self.geoms.append(geom)
        self.points.append(points)

    def box(self, node, half, pos, paint="main", turn=(0, 0, 0)):
        corners = np.array(np.meshgrid(*[(-h, h) for h in half])).reshape(3, -1).T
        self._add(Geom(node, "box", paint, tuple(half), tuple(pos), turn), corners)

    def slab(self, node, half, pos, paint="main", turn=(0, 0, 0), corner=.2):
        """A box with rounded vertical edges."""
        x, y, z = half
        r = corner * min(x, y)
        outline = np.concatenate([lathe.arc((sx * (x - r), sy * (y - r), 0), r, a, a + 90, "xy", 5)
                                  for sx, sy, a in ((1, 1, 0), (-1, 1, 90), (-1, -1, 180), (1, -1, 270))])
        v, f = lathe.extrude(outline[:, :2], 2 * z)
        self.mesh(node, (v - (0, 0, z), f), paint, pos, turn)

    def cylinder(self, node, radius, half, pos, paint="main", turn=(0, 0, 0)):
        corners = np.array(np.meshgrid((-radius, radius), (-radius, radius), (-half, half))).reshape(3, -1).T
        self._add(Geom(node, "cylinder", paint, (radius, half, 0), tuple(pos), turn), corners)

    def ball(self, node, radii, pos, paint="main"):
        radii = (radii,) * 3 if np.isscalar(radii) else tuple(radii)
        angle = np.arange(24) * np.pi / 12
        ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
        sphere = np.concatenate([ring, ring[:, [0, 2, 1]], ring[:, [2, 0, 1]]])
        self._add(Geom(node, "ellipsoid", paint, radii, tuple(pos)), sphere * radii)

    def mesh(self, node, mesh, paint="main", pos=(0, 0, 0), turn=(0, 0, 0)):
        points = Rotation.from_euler("xyz", turn, True).apply(mesh[0]) + pos
        self._add(Geom(node, "mesh", paint, mesh=(points, mesh[1])), points)

    def turned(self, node, profile, paint="main", pos=(0, 0, 0), turn=(0, 0, 0)):
        self.mesh(node, lathe.revolve(profile), paint, pos, turn)

    def tube(self, node, path, radius, paint="main"):
        self.mesh(node, lathe.tube(path, radius), paint)


def build(word, rng, reserved=False):
    """A body of this word whose shape variant is, or is not, one of the reserved."""
    for _ in range(60):
        body = Body(word, rng)
        BUILDERS[word](body)
        if body.reserved == reserved:
            break
    return body
