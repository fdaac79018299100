# SPDX-License-Identifier: Apache-2.0
"""A small cabinet whose drawers and doors stand open by chance, and a robot arm in any pose."""
import numpy as np

from .bodies import builder
from .lathe import arc

BOARDS = ["wooden", "wooden", "white", "gray", "brown", "black", "red", "blue", "green", "yellow"]


def _pull(b, under, kind, at, along, out, size):
    """A handle or a knob at `at`, along one direction, standing out along another."""
    at, along, out = (np.asarray(v, float) for v in (at, along, out))
    if kind == "knob":
        b.ball(b.part("knob", under), size * .55, at + out * size * .5, "second")
    else:
        ends = at - along * size * 1.6, at + along * size * 1.6
        rise = out * size * .8
        b.tube(b.part("handle", under), [ends[0], ends[0] + rise, ends[1] + rise, ends[1]], size * .24, "second")


@builder("cabinet")
def cabinet(b):
    x, y, rows, high = b.u(.08, .13), b.u(.06, .09), b.pick(1, 2, 3), b.u(.03, .045)
    b.paint("main", *BOARDS)
    b.paint("second", "metal", "black", "white", "brown", "red")
    b.paint("inside", "white", "wooden", "gray", "brown")
    kind, size, wall = b.pick("knob", "handle", "handle"), b.u(.009, .013), .004
    doors = b.chance(.45)
    tall = 2 * high * rows
    door = b.u(.045, .07) if doors else 0
    top = tall + 2 * door
    for s in (1, -1):
        b.box("", (wall, y, top / 2), (s * x, 0, top / 2))
        b.box("", (x, y, wall), (0, 0, wall if s < 0 else top))
    b.box("", (x, wall, top / 2), (0, y - wall, top / 2))
    if doors:
        b.box("", (x, y, wall), (0, 0, tall))
    for row in range(rows):
        z, out = high * (2 * row + 1), b.u(0, y * 1.1) if b.chance(.5) else 0
        drawer = b.part("drawer")
        b.box(drawer, (x * .96, .004, high * .92), (0, -y - out, z))
        for s in (1, -1):
            b.box(drawer, (.003, y * .9, high * .7), (s * x * .9, -out, z), "inside")
        b.box(drawer, (x * .9, y * .9, .003), (0, -out, z - high * .7), "inside")
        b.box(drawer, (x * .9, .003, high * .7), (0, y * .88 - out, z), "inside")
        _pull(b, drawer, kind, (0, -y - out - .004, z), (1, 0, 0), (0, -1, 0), size)
    for s in (1, -1) if doors else ():
        angle = b.u(10, 100) if b.chance(.5) else 0
        t = np.radians(angle)
        # From the hinge at the outer edge towards the middle when closed.
        along = np.array([-s * np.cos(t), -np.sin(t), 0])
        out = np.array([s * np.sin(t) * -1, -np.cos(t), 0])
        hinge = np.array([s * x, -y, tall + door])
        leaf = b.part("door")
        b.box(leaf, (x * .48, .004, door * .95), tuple(hinge + along * x * .49), "main", (0, 0, s * angle))
        _pull(b, leaf, kind, hinge + along * x * .82 + out * .004, (0, 0, 1), out, size)
    b.support = (top + wall, min(x, y) * .9)


@builder("robot")
def robot(b):
    b.paint("main", "white", "gray", "orange", "blue", "yellow", "black", "red")
    b.paint("second", "black", "gray", "white", "blue", "metal")
    r = b.u(.02, .03)
    b.cylinder(b.part("base"), r * 2, .012, (0, 0, .012), "second")
    at, pitch, thick = np.array([0, 0, .02]), b.u(60, 110), r
    for n in range(b.pick(2, 3, 3)):
        length = b.u(.08, .14)
        t = np.radians(pitch)
        along = np.array([np.cos(t), 0, np.sin(t)])
        b.ball(b.part("joint"), thick * 1.25, tuple(at), "second")
        b.tube(b.part("link"), [at, at + along * length * .5, at + along * length], [thick, thick * .85, thick * .75])
        at, thick = at + along * length, thick * .8
        pitch -= b.u(25, 75)
    b.ball(b.part("joint"), thick * 1.2, tuple(at), "second")
    t = np.radians(pitch)
    along, across = np.array([np.cos(t), 0, np.sin(t)]), np.array([0, 1., 0])
    gripper = b.part("gripper")
    wide, opening = b.u(.022, .034), b.u(.25, .9)
    b.tube(gripper, [at, at + along * .03], thick * .9, "second")
    b.tube(gripper, [at + along * .035 - across * wide, at + along * .035 + across * wide], .011, "second")
    for s in (1, -1):
        foot = at + along * .04 + s * across * wide * opening
        b.tube(b.part("finger", gripper), [foot, foot + along * .025, foot + along * .05], [.008, .0075, .005], "main")


@builder("basket")
def basket(b):
    x, y, z = b.u(.06, .1), b.u(.05, .07), b.u(.025, .045)
    b.paint("main", "wooden", "brown", "white", "red", "blue", "green", "yellow", "pink")
    b.box("", (x, y, .003), (0, 0, .003))
    for s in (1, -1):
        b.box("", (x, .003, z), (0, s * y, z))
        b.box("", (.003, y, z), (s * x, 0, z))
    b.tube(b.part("handle"), arc((0, 0, 2 * z), (x * .98, b.u(.05, .09)), 0, 180), .005)
    b.support = (.006, min(x, y) * .8)
