# SPDX-License-Identifier: Apache-2.0
"""Toys and fruit."""
import numpy as np

from .bodies import builder
from .lathe import arc


@builder("ball")
def ball(b):
    r = b.u(.02, .045)
    b.ball("", r, (0, 0, r))
    b.flat = r < .03


@builder("block")
def block(b):
    x = b.u(.014, .026)
    b.paint("main", "red", "orange", "yellow", "green", "blue", "purple", "wooden", "wooden", "white")
    b.box("", (x, x * b.pick(1, 1, 2), x), (0, 0, x))
    b.flat = True


@builder("car")
def car(b):
    x, y, z = b.u(.045, .065), b.u(.02, .028), b.u(.010, .014)
    wheel = b.u(.010, .014)
    b.slab(b.part("body"), (x, y, z), (0, 0, wheel + z), corner=.4)
    b.slab(b.part("cabin"), (x * b.u(.4, .6), y * .88, z * .9), (-x * .1, 0, wheel + 2.9 * z), b.pick("main", "white", "black"), corner=.3)
    for sx in (1, -1):
        for sy in (1, -1):
            b.cylinder(b.part("wheel"), wheel, .005, (sx * x * .6, sy * y, wheel), "black", (90, 0, 0))
    b.flat = True


@builder("banana")
def banana(b):
    r = b.u(.013, .018)
    b.paint("main", "yellow", "yellow", "yellow", "green")
    path = arc((0, 0, r), (b.u(.06, .085), b.u(.04, .065)), 15, 150, "xy", 12)
    b.tube("", path, r * np.sin(np.linspace(.35, np.pi - .35, 12)) ** .5)
    b.tube(b.part("stem"), [path[-1], path[-1] * [1.15, .75, 1]], r * .4, "brown")
    b.flat = True


@builder("apple")
def apple(b):
    r = b.u(.03, .04)
    b.paint("main", "red", "red", "green", "yellow")
    a = np.radians(np.linspace(-90, 90, 12))
    profile = [(0, r * .1)] + [(r * np.cos(t) * (1.02 if t > 0 else .96), r + r * np.sin(t) * .92) for t in a[1:-1]] + [(0, r * 1.75)]
    b.turned("", profile)
    b.tube(b.part("stem"), [(0, 0, r * 1.72), (.003, 0, r * 2.15)], .0028, "brown")
    b.flat = True
