# SPDX-License-Identifier: Apache-2.0
"""Things of a desk."""
import numpy as np

from .bodies import builder
from .lathe import arc
from .textures import COLOURS

CASES = ["black", "black", "white", "gray", "metal", "blue", "red", "pink"]


@builder("book")
def book(b):
    x, y, z = b.u(.05, .085), b.u(.07, .12), b.u(.006, .022)
    b.box(b.part("pages"), (x * .96, y * .96, z), (.002, 0, z + .003), "white")
    cover = b.part("cover")
    for height in (.0015, 2 * z + .0045):
        b.box(cover, (x, y, .0015), (0, 0, height))
    b.box(cover, (.002, y, z + .003), (-x, 0, z + .003))
    b.support = (2 * z + .006, min(x, y) * .8)
    if b.chance(.4):
        b.paint("label")
        b.box(b.part("label"), (x * .5, y * .3, .0005), (x * .1, y * .3, 2 * z + .0065), "label")


@builder("pencil")
def pencil(b):
    r, length = b.u(.0045, .007), b.u(.09, .15)
    turn = (0, 90, 0)
    b.cylinder("", r, length / 2, (0, 0, r), "main", turn)
    b.turned(b.part("tip"), [(0, 0), (r, 0), (r * .3, r * 3), (0, r * 4)], "beige", (length / 2, 0, r), turn)
    b.cylinder("", r * 1.03, .004, (-length / 2 - .004, 0, r), "metal", turn)
    b.cylinder(b.part("eraser"), r, .007, (-length / 2 - .014, 0, r), "pink", turn)
    b.flat = True


@builder("marker")
def marker(b):
    r, length = b.u(.006, .010), b.u(.07, .10)
    turn = (0, 90, 0)
    b.cylinder(b.part("body"), r, length / 2, (0, 0, r * 1.15), b.pick("main", "white"), turn)
    b.cylinder(b.part("cap"), r * 1.12, length * .18, (length * .62, 0, r * 1.15), "main", turn)
    b.flat = True


@builder("phone")
def phone(b):
    x, y = b.u(.033, .04), b.u(.065, .08)
    b.paint("main", *CASES)
    b.paint("screen", "black", "blue", "gray", "white", "green")
    b.slab("", (x, y, .004), (0, 0, .004), corner=.25)
    if b.chance(.7):
        b.slab(b.part("screen"), (x * .9, y * .9, .0004), (0, 0, .0085), "screen", corner=.2)
    else:
        camera = b.part("camera")
        b.slab(camera, (.013, .015, .001), (-x * .5, y * .72, .009), "gray", corner=.5)
        for dy in (-.007, .007):
            b.cylinder(camera, .005, .001, (-x * .5, y * .72 + dy, .0105), "black")
    b.flat = True


def _keys(b, under, half, centre, rows, columns, gap=.78, paint="keys"):
    sx, sy = half[0] / columns, half[1] / rows
    keys = b.part("keys", under)        # one part: single keys are too small to click
    b.box(keys, (*half, .0006), (centre[0], centre[1], centre[2] - .0012), paint)
    for i in range(rows):
        for j in range(columns):
            b.box(keys, (sx * gap, sy * gap, .0018),
                  (centre[0] + sx * (2 * j + 1 - columns), centre[1] + sy * (2 * i + 1 - rows), centre[2]), paint)


@builder("keyboard")
def keyboard(b):
    x, y = b.u(.14, .19), b.u(.05, .065)
    b.paint("main", *CASES)
    b.paint("keys", "black", "white", "gray")
    b.slab("", (x, y, .007), (0, 0, .007), corner=.15)
    _keys(b, "", (x * .95, y * .88), (0, 0, .0155), b.pick(4, 5), b.pick(10, 12))


@builder("laptop")
def laptop(b):
    x, y, tilt = b.u(.12, .16), b.u(.08, .11), b.u(5, 40)
    b.paint("main", "gray", "metal", "black", "white", "blue", "red")
    b.paint("screen", "black", "blue", "white", "green", "gray", "purple")
    b.slab("", (x, y, .006), (0, 0, .006), corner=.1)
    board = b.part("keyboard")
    b.box(board, (x * .85, y * .42, .0006), (0, y * .3, .0125), "black")
    b.box(b.part("touchpad"), (x * .25, y * .24, .0006), (0, -y * .55, .0125), "gray" if b.chance(.5) else "black")
    t = np.radians(tilt)
    up = np.array([0, np.sin(t), np.cos(t)])
    lid, turn = b.part("lid"), (-tilt, 0, 0)
    b.box(lid, (x, .003, y * .95), tuple(np.array([0, y, .01]) + y * .95 * up), "main", turn)
    front = np.array([0, -np.cos(t), np.sin(t)]) * .0035
    b.box(b.part("screen", lid), (x * .92, .0006, y * .84), tuple(np.array([0, y, .01]) + y * .95 * up + front), "screen", turn)


@builder("monitor")
def monitor(b):
    x, z, stem = b.u(.14, .22), b.u(.08, .12), b.u(.04, .08)
    b.paint("main", "black", "gray", "white", "metal")
    b.paint("screen", "black", "blue", "white", "green", "gray", "purple")
    stand = b.part("stand")
    b.slab(stand, (x * .35, .05, .004), (0, 0, .004), corner=.3)
    b.box(stand, (.012, .006, stem / 2 + .02), (0, .012, stem / 2 + .02))
    b.box("", (x, .007, z), (0, 0, stem + z))
    b.box(b.part("screen"), (x * .94, .0006, z * .9), (0, -.0074, stem + z * 1.02), "screen")


@builder("mouse")
def mouse(b):
    x, y, z = b.u(.026, .034), b.u(.042, .055), b.u(.014, .02)
    b.paint("main", *CASES)
    b.ball("", (x, y, z), (0, 0, z * .8))
    b.cylinder(b.part("wheel"), z * .42, .0035, (0, y * .45, z * 1.45), "gray" if b.chance(.5) else "black", (0, 90, 0))
    b.flat = True


@builder("lamp")
def lamp(b):
    r, h, shade = b.u(.045, .07), b.u(.18, .3), b.u(.05, .09)
    b.paint("second", "black", "metal", "white", "wooden", "gray", "red")
    b.turned(b.part("base"), [(0, 0), (r, 0), (r, .012), (r * .3, .022), (0, .022)], "second")
    if b.chance(.5):
        b.cylinder(b.part("arm"), .006, h / 2, (0, 0, h / 2), "second")
        b.turned(b.part("shade"), [(shade, h - .03), (shade * .6, h + shade), (shade * .58, h + shade), (shade * .97, h - .03), (shade, h - .03)])
    else:
        b.tube(b.part("arm"), [(0, 0, .01), (-.03, 0, h * .5), (.0, 0, h * .9), (.07, 0, h)], .005, "second")
        b.turned(b.part("shade"), [(shade * .7, -.05), (shade * .25, 0), (0, .004), (shade * .2, -.004), (shade * .65, -.05)], "main", (.07, 0, h), (0, -25, 0))


@builder("clock")
def clock(b):
    r, thick = b.u(.05, .09), b.u(.012, .022)
    b.turned("", [(0, -thick), (r, -thick), (r, thick), (r * .9, thick), (r * .9, 0), (0, 0)], "main", (0, 0, r), (90, 0, 0))
    face = b.part("face")
    b.cylinder(face, r * .89, .001, (0, -thick * .5, r), "white", (90, 0, 0))
    for length, wide in ((.5, .05), (.75, .03)):
        a = b.u(0, 360)
        t = np.radians(a)
        at = (r * length / 2 * np.sin(t), -thick * .5 - .002, r + r * length / 2 * np.cos(t))
        b.box(b.part("hand", face), (r * wide, .0008, r * length / 2), at, "black", (0, a, 0))
    for t in np.arange(12) * np.pi / 6:
        b.cylinder(face, r * .035, .001, (r * .75 * np.sin(t), -thick * .5 - .001, r + r * .75 * np.cos(t)), "black", (90, 0, 0))
    for s in (1, -1):
        b.cylinder("", .006, .008, (s * r * .6, 0, .008))


@builder("calculator")
def calculator(b):
    x, y = b.u(.035, .05), b.u(.06, .08)
    b.paint("main", *CASES)
    b.paint("keys", "white", "gray", "black", "orange")
    b.slab("", (x, y, .006), (0, 0, .006), corner=.15)
    b.box(b.part("screen"), (x * .85, y * .2, .0006), (0, y * .68, .0125), "green" if b.chance(.4) else "gray")
    buttons = b.part("buttons")
    b.box(buttons, (x * .82, y * .65, .001), (0, -y * .21, .0125), "keys")
    for i in range(4):
        for j in range(4):
            b.box(buttons, (x * .16, y * .11, .002), (x * .42 * (j - 1.5), y * (.3 - .34 * i), .0135), "keys")
    b.flat = True


@builder("camera")
def camera(b):
    x, z = b.u(.05, .065), b.u(.03, .042)
    b.paint("main", "black", "black", "gray", "red", "white", "metal")
    b.box("", (x, .02, z), (0, 0, z))
    r = z * b.u(.6, .85)
    b.cylinder(b.part("lens"), r, .02, (0, -.035, z), "black", (90, 0, 0))
    b.cylinder("", r * .75, .001, (0, -.0555, z), "blue", (90, 0, 0))
    b.cylinder(b.part("button"), .008, .004, (x * .6, 0, 2 * z + .004), "metal")


@builder("headphones")
def headphones(b):
    r = b.u(.065, .085)
    b.paint("main", *CASES)
    b.paint("second", *CASES)
    b.tube(b.part("band"), arc((0, 0, .02), r, 0, 180, "xy", 18), .007)
    for s in (1, -1):
        b.cylinder(b.part("cushion"), r * .42, .012, (s * (r - .01), -.01, .03), "second", (0, 90, 0))


@builder("tape")
def tape(b):
    r, thick = b.u(.03, .05), b.u(.009, .016)
    b.turned("", [(r * .6, 0), (r, 0), (r, 2 * thick), (r * .6, 2 * thick), (r * .6, 0)])
    b.flat = True


@builder("speaker")
def speaker(b):
    x, z = b.u(.04, .06), b.u(.07, .11)
    b.paint("main", "black", "wooden", "wooden", "white", "red", "gray")
    b.box("", (x, x * .9, z), (0, 0, z))
    for height, r in ((.65, .75), (1.5, .45)):
        b.turned(b.part("cone"), [(0, -.004), (x * r * .8, .004), (x * r, .001), (x * r, 0), (0, 0)], "gray", (0, -x * .9, z * height), (90, 0, 0))
