# SPDX-License-Identifier: Apache-2.0
"""Vessels and cutlery."""
import numpy as np

from .bodies import builder
from .lathe import arc, extrude, revolve, vessel
from .textures import COLOURS

WARM = COLOURS + ["metal"] * 3


def _side_handle(b, node, r, h, paint="main"):
    kind = b.pick("ring", "ear", "square")
    thick = b.u(.004, .007)
    if kind == "square":
        path = [(r * .93, 0, h * .25), (r * 1.5, 0, h * .25), (r * 1.55, 0, h * .5), (r * 1.5, 0, h * .78), (r * .93, 0, h * .78)]
    else:
        path = arc((r * .93, 0, h * .52), (r * (.55 if kind == "ring" else .8), h * .3), -90, 90)
    b.tube(node, path, thick, paint)


@builder("mug")
def mug(b):
    r, h = b.u(.035, .05), b.u(.08, .12)
    taper = b.u(.75, 1.05)
    if b.chance(.3):
        b.paint("second")
    b.turned(b.part("body"), vessel([(r * taper, 0), (r * (1 + taper) / 2 * 1.03, h / 2), (r, h)], .004))
    _side_handle(b, b.part("handle"), r, h, "second" if "second" in b.roles else "main")
    b.lies = True


@builder("cup")
def cup(b):
    r, h = b.u(.03, .048), b.u(.07, .12)
    b.turned("", vessel([(r * b.u(.55, .8), 0), (r * .93, h * .6), (r, h)], .002))
    b.lies = True


@builder("bowl")
def bowl(b):
    r, h, foot = b.u(.06, .12), b.u(.035, .07), b.u(.3, .5)
    b.paint("main", *COLOURS, "metal", "wooden", "wooden")
    angles = np.radians(np.linspace(20, 90, 7))
    b.turned("", vessel([(r * foot, 0)] + [(r * (foot + (1 - foot) * np.sin(a)), h * (1 - np.cos(a))) for a in angles], .004))
    b.support = (.006, r * .6)


@builder("plate")
def plate(b):
    r = b.u(.08, .14)
    b.paint("main", *COLOURS, "white", "white")
    b.turned("", vessel([(r * .6, 0), (r * .7, .004), (r, b.u(.012, .026))], .003))
    b.support = (.005, r * .75)


@builder("glass")
def glass(b):
    r, h = b.u(.028, .042), b.u(.09, .15)
    b.paint("main", "clear")
    if b.chance(.35):
        b.turned(b.part("stem"), [(0, 0), (r, 0), (r, .003), (.005, .008), (.004, h * .5), (0, h * .5)])
        bowl_ = [(0.004, h * .5), (r * .8, h * .58), (r * 1.1, h * .8), (r, h * 1.2)]
        b.turned("", [(0, h * .5)] + bowl_ + [(x - .002, z) for x, z in bowl_[::-1][:-1]] + [(0, h * .52)])
    else:
        b.turned("", vessel([(r * b.u(.7, 1), 0), (r, h)], .003))


@builder("bottle")
def bottle(b):
    r, h, neck = b.u(.026, .042), b.u(.17, .28), b.u(.3, .5)
    shoulder = b.u(.55, .72)
    b.paint("second")
    b.turned(b.part("body"), [(0, 0), (r * .92, 0), (r, .006), (r, h * shoulder), (r * .9, h * (shoulder + .06)),
                              (r * neck, h * .86), (r * neck, h * .94), (0, h * .94)])
    b.cylinder(b.part("cap"), r * neck * 1.15, h * .04, (0, 0, h * .95), "second")
    if b.chance(.6):
        b.paint("label")
        b.cylinder(b.part("label"), r * 1.015, h * .14, (0, 0, h * .32), "label")
    b.lies = True


@builder("jar")
def jar(b):
    r, h = b.u(.035, .055), b.u(.07, .13)
    b.paint("second", *COLOURS, "metal", "wooden")
    b.turned(b.part("body"), [(0, 0), (r * .95, 0), (r, .006), (r, h * .85), (r * .85, h * .95), (0, h * .95)])
    b.cylinder(b.part("lid"), r * .92, h * b.u(.06, .12), (0, 0, h * 1.01), "second")
    if b.chance(.4):
        b.paint("label")
        b.cylinder(b.part("label"), r * 1.012, h * .22, (0, 0, h * .42), "label")
    b.lies = True


@builder("can")
def can(b):
    r, h = b.u(.028, .042), b.u(.08, .13)
    b.paint("rim", "metal")
    b.cylinder("", r, h / 2, (0, 0, h / 2))
    b.turned("", [(0, h), (r * .85, h), (r * .9, h + .003), (r, h + .003), (r, h - .004)], "rim")
    b.turned("", [(r, .004), (r * .9, -.002), (0, -.001)], "rim")
    b.lies = True


def _lid(b, r, z, paint="main", knob="second"):
    lid = b.part("lid")
    b.turned(lid, [(0, z), (r, z), (r, z + .005), (r * .6, z + r * .18), (0, z + r * .25)], paint)
    size = r * b.u(.15, .24)
    b.ball(b.part("knob", lid), (size, size, size * .9), (0, 0, z + r * .25 + size * .7), knob)


@builder("teapot")
def teapot(b):
    r, h = b.u(.05, .075), b.u(.07, .11)
    b.paint("main", *WARM)
    b.paint("second")
    b.turned(b.part("body"), [(0, 0), (r * .6, 0), (r * .95, h * .3), (r, h * .5), (r * .85, h * .8), (r * .5, h), (0, h)])
    _lid(b, r * .5, h * .98)
    b.tube(b.part("spout"), [(r * .8, 0, h * .3), (r * 1.3, 0, h * .45), (r * 1.5, 0, h * .8), (r * 1.75, 0, h * 1.02)],
           [.014, .012, .009, .007])
    b.tube(b.part("handle"), arc((-r * .85, 0, h * .52), (r * .75, h * .36), 90, 270), .006, b.pick("main", "second"))


@builder("pan")
def pan(b):
    r, h = b.u(.08, .12), b.u(.025, .05)
    b.paint("main", "black", "gray", "metal", "red", "blue", "green", "white")
    b.paint("second", "black", "brown", "wooden", "red")
    b.turned("", vessel([(r * .85, 0), (r, h)], .004))
    length = b.u(.11, .17)
    b.tube(b.part("handle"), [(r * .97, 0, h * .8), (r + length * .4, 0, h), (r + length, 0, h * 1.15)], [.006, .009, .011], "second")
    b.support = (.005, r * .7)


@builder("pot")
def pot(b):
    r, h = b.u(.06, .1), b.u(.07, .12)
    b.paint("main", *WARM)
    b.paint("second", "black", "brown", "wooden", "red", "metal")
    b.cylinder("", r, h / 2, (0, 0, h / 2))
    _lid(b, r * 1.02, h)
    for sign in (1, -1):
        path = arc((sign * r * .95, 0, h * .75), (r * .35, r * .4), -90, 90, "xy")
        path[:, 0] = sign * r * .95 + sign * (path[:, 0] - sign * r * .95)
        b.tube(b.part("handle"), path, .006, "second")


def _grip(b, start, length, width, height):
    b.paint("second", "black", "brown", "wooden", "wooden", "red", "blue", "white", "metal", "metal")
    b.slab(b.part("handle"), (length / 2, width, height), (start - length / 2, 0, height), "second", corner=.8)


@builder("knife")
def knife(b):
    length, width = b.u(.09, .17), b.u(.009, .018)
    b.paint("main", "metal")
    outline = [(0, -width), (length * .7, -width), (length * .9, -width * .5), (length, width * .8), (0, width * .8)]
    v, f = extrude(outline, .002)
    b.mesh(b.part("blade"), (v + (0, 0, .005), f))
    _grip(b, 0, b.u(.08, .12), .011, .006)
    b.flat = True


@builder("fork")
def fork(b):
    length = b.u(.05, .09)
    b.paint("main", "metal")
    b.slab("", (.018, .012, .0015), (length, 0, .006), corner=.9)
    for i in range(4):
        y = (i - 1.5) * .007
        b.tube("", [(length + .008, y, .006), (length + .03, y, .004), (length + .05, y, .007)], .0017)
    b.tube("", [(0, 0, .006), (length * .5, 0, .008), (length - .01, 0, .006)], .004)
    _grip(b, 0, b.u(.07, .11), .008, .005)
    b.flat = True


@builder("spoon")
def spoon(b):
    length, wide = b.u(.05, .09), b.u(.015, .024)
    b.paint("main", "metal", "metal", "wooden")
    v, f = revolve(vessel([(wide * .3, 0), (wide * .8, .003), (wide, .009)], .0015))
    b.mesh("", (v * (1.4, 1, 1) + (length + wide, 0, .002), f))
    b.tube("", [(0, 0, .006), (length * .6, 0, .011), (length - wide * .3, 0, .009)], .004)
    _grip(b, 0, b.u(.07, .11), .008, .005)
    b.flat = True
