# SPDX-License-Identifier: Apache-2.0
"""Hand tools; they lie along x."""
import numpy as np

from .bodies import builder
from .lathe import arc, extrude

GRIPS = ["red", "orange", "yellow", "green", "blue", "black", "black", "wooden", "wooden", "purple"]


@builder("screwdriver")
def screwdriver(b):
    r, length, shaft = b.u(.010, .016), b.u(.07, .11), b.u(.06, .13)
    b.paint("main", *GRIPS)
    turn = (0, 90, 0)
    b.turned(b.part("handle"), [(0, -length), (r * .8, -length), (r, -length * .8), (r, -length * .3), (r * .6, -length * .12), (r * .7, 0), (0, 0)],
             "main", (0, 0, r), turn)
    b.cylinder(b.part("shaft"), b.u(.0028, .0045), shaft / 2, (shaft / 2, 0, r), "metal", turn)
    b.flat = True


@builder("hammer")
def hammer(b):
    length, r, head = b.u(.18, .28), b.u(.009, .014), b.u(.04, .06)
    b.paint("main", *GRIPS, "wooden", "wooden")
    b.paint("head", "metal", "metal", "black", "red")
    b.tube(b.part("handle"), [(0, 0, r), (length * .4, 0, r), (length, 0, r * 1.2)], [r, r * .8, r * .7])
    part, z = b.part("head"), .016
    b.cylinder(part, .015, head / 2, (length, -head * .7, z), "head", (90, 0, 0))
    b.box(part, (.012, head * .4, .012), (length, 0, z), "head")
    if b.chance(.5):
        b.tube(part, [(length, head * .3, z), (length - .006, head * .9, z), (length - .02, head * 1.4, z)], [.011, .008, .003], "head")
    else:
        b.box(part, (.013, head * .3, .013), (length, head * .6, z), "head")


@builder("wrench")
def wrench(b):
    length, r = b.u(.10, .18), b.u(.016, .024)
    b.paint("main", "metal", "metal", "metal", "black", "red", "blue")
    b.slab(b.part("handle"), (length / 2, r * .45, .004), (0, 0, .006), corner=.3)
    head = b.part("head")
    a = np.radians(np.linspace(38, 322, 22))
    inner = np.radians(np.linspace(322, 38, 12))
    ring = np.r_[np.c_[r * np.cos(a), r * np.sin(a)], np.c_[r * .45 * np.cos(inner), r * .6 * np.sin(inner)]]
    for i in range(len(a) - 1):     # a ring is not star-shaped: one sector each
        k = [i, i + 1]
        quad = np.array([ring[k[0]], ring[k[1]], ring[k[1]] * .5, ring[k[0]] * .5])
        v, f = extrude(quad, .012)
        b.mesh(head, (v + (length / 2 + r * .8, 0, 0), f))
    b.flat = True


@builder("scissors")
def scissors(b):
    length, spread, r = b.u(.07, .12), b.u(8, 24), b.u(.018, .026)
    b.paint("main", "red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
    for sign in (1, -1):
        t = np.radians(sign * spread)
        turn = np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]])
        z = .004 + .003 * (sign > 0)
        v, f = extrude([(-.02, -.006), (length * .6, -.008), (length, 0), (-.02, .006)], .003)
        b.mesh(b.part("blade"), ((v + (0, 0, z)) @ turn, f), "metal")
        loop = arc((-.045 - r, -sign * .008, z + .002), (r * 1.3, r), 0, 350, "xy", 18)
        b.tube(b.part("handle"), np.r_[[(-.012, 0, z + .002)], loop] @ turn, .0045)
    b.flat = True


@builder("brush")
def brush(b):
    length, wide, hair = b.u(.08, .16), b.u(.014, .03), b.u(.025, .045)
    b.paint("main", *GRIPS)
    b.paint("hair", "brown", "black", "white", "yellow", "blue")
    b.slab(b.part("handle"), (length / 2, wide * .35, .006), (-length / 2, 0, .007), corner=.8)
    b.box("", (.012, wide, .008), (.012, 0, .008), "metal")
    b.box(b.part("bristles"), (hair / 2, wide * .95, .006), (.024 + hair / 2, 0, .008), "hair")
    b.flat = True


@builder("flashlight")
def flashlight(b):
    r, length = b.u(.012, .018), b.u(.09, .15)
    b.paint("main", "black", "red", "blue", "yellow", "green", "metal", "gray", "orange")
    big = r * b.u(1.3, 1.8)
    turn, at = (0, 90, 0), (0, 0, big)
    b.cylinder(b.part("handle"), r, length / 2, at, "main", turn)
    head = b.part("head")
    b.turned(head, [(0, 0), (r, 0), (big, .025), (big, .045), (big * .9, .045), (0, .045)], "main", (length / 2, 0, big), turn)
    b.cylinder(b.part("lens", head), big * .85, .001, (length / 2 + .0455, 0, big), "white", turn)
    b.slab(b.part("button"), (.008, .005, .003), (length * .2, 0, big + r), "gray", corner=.9)


@builder("pliers")
def pliers(b):
    length, spread = b.u(.08, .12), b.u(6, 16)
    b.paint("main", "red", "orange", "yellow", "green", "blue", "black")
    b.cylinder("", .011, .006, (0, 0, .008), "metal")
    for sign in (1, -1):
        t = np.radians(sign * spread)
        c, s = np.cos(t), np.sin(t)
        bend = [(-.008 * c, -.008 * s, .008), (-.3 * length, -sign * .016, .008), (-length * c, -length * s * 1.3, .008)]
        b.tube(b.part("handle"), bend, [.005, .0065, .0055])
        v, f = extrude([(0, -.009), (.045, -.002), (.045, .002), (0, .009)], .01)
        turn = np.array([[c, s * .7, 0], [-s * .7, c, 0], [0, 0, 1]])
        b.mesh(b.part("jaw"), ((v + (0, 0, .003)) @ turn, f), "metal")
    b.flat = True


@builder("saw")
def saw(b):
    length, wide = b.u(.16, .25), b.u(.025, .04)
    b.paint("main", *GRIPS)
    teeth = [(x, -wide - .005 * (i % 2)) for i, x in enumerate(np.linspace(0, length, 30))]
    v, f = extrude(teeth + [(length, -wide * .3), (0, wide * .8)], .002)
    b.mesh(b.part("blade"), (v + (0, 0, .007), f), "metal")
    b.tube(b.part("handle"), arc((-.02, -.005, .009), (.045, .035), 0, 350, "xy", 18), .009)


@builder("drill")
def drill(b):
    r, length, grip = b.u(.02, .028), b.u(.09, .13), b.u(.08, .12)
    b.paint("main", "yellow", "blue", "green", "red", "orange", "black", "gray")
    z, turn = .022, (0, 90, 0)
    b.cylinder(b.part("body"), r, length / 2, (0, 0, r), "main", turn)
    handle = b.part("handle")
    b.slab(handle, (.014, grip / 2, .014), (-length * .25, -grip / 2 - r * .6, r), "main", corner=.6)
    b.slab(b.part("button", handle), (.005, .012, .007), (-length * .25 + .016, -r - .02, r), "black")
    b.slab(b.part("battery"), (.03, .014, .02), (-length * .25 + .006, -grip - r * .6, z), "black")
    b.turned(b.part("chuck"), [(0, 0), (r * .7, 0), (r * .4, .025), (0, .025)], "gray", (length / 2, 0, r), turn)
    b.cylinder(b.part("bit"), .003, .025, (length / 2 + .045, 0, r), "metal", turn)


@builder("magnifier")
def magnifier(b):
    r, length = b.u(.03, .05), b.u(.07, .11)
    b.paint("main", *GRIPS)
    b.paint("frame", "black", "metal", "red", "blue")
    b.tube(b.part("frame"), arc((0, 0, .008), r, 0, 360, "xy", 26), .004, "frame")
    b.cylinder(b.part("lens"), r, .0015, (0, 0, .008), "clear")
    b.tube(b.part("handle"), [(r, 0, .008), (r + length * .5, 0, .008), (r + length, 0, .008)], [.004, .008, .008])
    b.flat = True


@builder("toolbox")
def toolbox(b):
    x, y, z = b.u(.10, .16), b.u(.05, .08), b.u(.035, .06)
    b.paint("main", "red", "blue", "yellow", "green", "orange", "gray", "black", "metal")
    b.paint("second", "black", "red", "gray", "yellow", "metal")
    b.box(b.part("body"), (x, y, z), (0, 0, z))
    lid = b.part("lid")
    b.box(lid, (x * 1.02, y * 1.04, z * .25), (0, 0, z * 2.25), b.pick("main", "second"))
    b.tube(b.part("handle", lid), [(-x * .5, 0, z * 2.5), (-x * .45, 0, z * 2.5 + .03), (x * .45, 0, z * 2.5 + .03), (x * .5, 0, z * 2.5)], .006, "second")
    for s in (1, -1):
        b.box(b.part("latch"), (.012, .004, z * .3), (s * x * .6, y + .003, z * 1.95), "second")
