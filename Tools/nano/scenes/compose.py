# SPDX-License-Identifier: Apache-2.0
"""Puts bodies on a table in a room and photographs them with MuJoCo."""
import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from . import textures
from .bodies import BUILDERS, Body, build
from .labels import label

SIZE = 512
HIDDEN = (0, 0, -50)
TYPES = {"box": mujoco.mjtGeom.mjGEOM_BOX, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
         "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID, "mesh": mujoco.mjtGeom.mjGEOM_MESH}


def make_table(rng):
    """Its top is at height 0; `support` is (half x, half y) or a radius."""
    body = Body("table", rng)
    body.paint("main", *["wooden"] * 8, *["white", "gray", "brown", "black"] * 2, *textures.COLOURS)
    body.paint("legs", "wooden", "black", "white", "gray", "metal", "brown")
    thick, depth = rng.uniform(.01, .03), rng.uniform(.45, .8)
    if rng.random() < .7:
        x, y = rng.uniform(.35, .75), rng.uniform(.35, .6)
        body.box("", (x, y, thick), (0, 0, -thick))
        feet, body.support = [(sx * x * .9, sy * y * .9) for sx in (1, -1) for sy in (1, -1)], (x, y)
    else:
        r = rng.uniform(.38, .65)
        body.cylinder("", r, thick, (0, 0, -thick))
        feet, body.support = [(r * .6 * np.cos(a), r * .6 * np.sin(a)) for a in (0, 2.1, 4.2)], (r * .7, r * .7)
    for x, y in feet:
        body.cylinder(body.part("leg"), rng.uniform(.015, .03), depth / 2, (x, y, -depth / 2 - thick), "legs")
    body.depth = depth
    return body


class Stage:
    """One compiled model, of which several different pictures can be taken."""

    def __init__(self, rng, words, reserved, robot=None):
        self.rng, self.spec = rng, mujoco.MjSpec()
        self.spec.visual.quality.shadowsize = 1024
        visual = self.spec.visual
        getattr(visual, "global").offwidth = getattr(visual, "global").offheight = SIZE
        self.spec.visual.map.znear, self.spec.visual.map.zfar = .01, 12
        self.spec.stat.extent = 1
        self.spec.visual.quality.offsamples = 4
        self._materials()
        self.table = make_table(rng)
        self.bodies = [self.table] + [build(w, rng, r) for w, r in zip(words, reserved)]
        self.unseen = [False] + list(reserved)
        self.geoms = []         # per labelled geom: (instance, node, role)
        for i, body in enumerate(self.bodies):
            self._add_body(i, body)
        self.robot = robot(self) if robot else None
        self._room()
        self.model = self.spec.compile()
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, SIZE, SIZE)
        self.ids = [self.model.geom(f"g{n}").id for n in range(len(self.geoms))]

    def close(self):
        self.renderer.close()

    def _texture(self, name, picture, cube, shine=.2, repeat=1.):
        size = picture.shape[0]
        texture = self.spec.add_texture(name=name, width=size, height=size * (6 if cube else 1), nchannel=3)
        texture.type = mujoco.mjtTexture.mjTEXTURE_CUBE if cube else mujoco.mjtTexture.mjTEXTURE_2D
        texture.data = (np.tile(picture, (6, 1, 1)) if cube else picture).tobytes()
        material = self.spec.add_material(name=name, specular=shine, shininess=shine, texrepeat=[repeat, repeat])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name

    def _materials(self):
        rng = self.rng
        for n in range(2):
            self._texture(f"wooden{n}", textures.wood(rng), True)
            self._texture(f"flatwooden{n}", textures.wood(rng, 256), False, repeat=rng.choice([1, 2]))
        self._texture("metal0", textures.metal(rng), True, .9)
        self._texture("flatmetal0", textures.metal(rng), False, .9)
        for n in range(5):
            kind = "plain" if n < 2 else rng.choice(textures.KINDS)
            shine = float(rng.choice([.05, .3, .7]))
            self._texture(f"paint{n}", textures.pattern(rng, kind), True, shine)
            self._texture(f"flatpaint{n}", textures.pattern(rng, rng.choice(textures.KINDS), 256), False, shine,
                          int(rng.integers(1, 5)))
        self.spec.add_material(name="clear0", specular=.9, shininess=.9)

    def _add_body(self, index, body):
        frame = self.spec.worldbody.add_body(name=f"b{index}", pos=(0, 0, 0) if index == 0 else HIDDEN)
        for geom in body.geoms:
            name = f"g{len(self.geoms)}"
            new = frame.add_geom(name=name, type=TYPES[geom.kind], contype=0, conaffinity=0)
            if geom.kind == "mesh":
                mesh = self.spec.add_mesh(name=name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
                mesh.uservert, mesh.userface = geom.mesh[0].ravel(), geom.mesh[1].ravel()
                new.meshname = name
            else:
                x, y, z, w = Rotation.from_euler("xyz", geom.turn, True).as_quat()
                new.size, new.pos, new.quat = (*geom.size, 0, 0, 0)[:3], geom.pos, (w, x, y, z)
            self.geoms.append((index, geom.node, geom.paint))

    def _room(self):
        rng, depth = self.rng, self.table.depth
        for n in range(3):
            self._texture(f"room{n}", textures.surface(rng), False, .1, int(rng.integers(1, 8)))
        world, box = self.spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
        world.add_geom(type=box, size=(3, 3, .05), pos=(0, 0, -depth - .1), material="room0", contype=0, conaffinity=0)
        for n, (x, y) in enumerate(((2.6, 0), (-2.6, 0), (0, 2.6), (0, -2.6))):
            size = (.05, 3, 2.5) if x else (3, .05, 2.5)
            world.add_geom(type=box, size=size, pos=(x, y, 1), material=f"room{1 + n % 2}", contype=0, conaffinity=0)
        world.add_camera(name="eye")
        for n in range(3):
            light = world.add_light(name=f"l{n}", castshadow=n == 0, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
            light.ambient = (0, 0, 0)

    def _paint(self):
        """Draws every role's word; returns the paint words of all geoms."""
        rng, words = self.rng, []
        for body in self.bodies:
            chosen, flat = {}, body is self.table
            for role, options in body.roles.items():
                word = str(rng.choice(options))
                for _ in range(9):
                    if word not in [c[0] for c in chosen.values()]:
                        break
                    word = str(rng.choice(options))
                if word == "wooden":
                    look = f"wooden{rng.integers(2)}", np.full(3, rng.uniform(.85, 1))
                elif word == "metal":
                    look = "metal0", np.full(3, rng.uniform(.8, 1))
                elif word == "clear":
                    look = "clear0", np.array([.82, .92, .95])
                else:
                    look = f"paint{rng.integers(5)}", textures.tint(rng, word)
                chosen[role] = (word, ("flat" if flat and role == "main" else "") + look[0], look[1])
            body.chosen = chosen
        for g, (i, _, role) in zip(self.ids, self.geoms):
            fixed = role not in self.bodies[i].chosen
            word, material, rgb = (role, f"{role if role in textures.MATERIALS else 'paint'}0", None) if fixed \
                else self.bodies[i].chosen[role]
            if rgb is None:
                rgb = textures.PALETTE.get(word, (.95, .95, .95))
            self.model.geom_matid[g] = self.model.material(material).id
            self.model.geom_rgba[g] = (*rgb, .4 if word == "clear" else 1)
            words.append(word)
        return words

    def _place(self):
        """Lays the bodies out; whatever finds no room is hidden under the floor."""
        rng, taken = self.rng, [] if self.robot is None else [self.robot.footprint]
        tx, ty = self.table.support
        sizes = [np.linalg.norm(np.ptp(np.concatenate(b.points), 0)) / 2 for b in self.bodies[1:]]
        reach = rng.uniform(.7, 1.25) * np.sqrt(np.sum(np.square(sizes))) + .03
        tx, ty = np.minimum((tx, ty), reach)
        cx, cy = (np.array(self.table.support) - (tx, ty)) * rng.uniform(-1, 1, 2)
        order = sorted(range(1, len(self.bodies)), key=lambda i: -np.ptp(np.concatenate(self.bodies[i].points), 0).max())
        holders = []
        for i in order:
            body = self.bodies[i]
            points = np.concatenate(body.points)
            down = body.lies and rng.random() < .25
            turn = Rotation.from_euler("zx", [rng.uniform(0, 360), 90 if down else 0], True)
            turn = Rotation.from_euler("z", rng.uniform(0, 360), True) * turn
            points = turn.apply(points)
            radius, place = np.hypot(points[:, 0], points[:, 1]).max(), None
            for holder in holders:
                if radius < holder[3] * 1.15 and rng.random() < .6:
                    place = holder[:3]
                    holders.remove(holder)
                    break
            for _ in range(40):
                if place is not None:
                    break
                x, y = rng.uniform(-1, 1, 2) * (max(tx - radius * .5, 0), max(ty - radius * .5, 0)) + (cx, cy)
                if all(np.hypot(x - a, y - b) > .9 * (radius + r) for a, b, r in taken):
                    place = (x, y, 0)
                    taken.append((x, y, radius))
                    if body.support and not down:
                        holders.append((x, y, body.support[0], body.support[1]))
            frame = self.model.body(f"b{i}").id
            x, y, z, w = turn.as_quat()
            self.model.body_quat[frame] = (w, x, y, z)
            self.model.body_pos[frame] = HIDDEN if place is None else (place[0], place[1], place[2] - points[:, 2].min() + 5e-4)
        return taken

    def _shoot(self, taken):
        rng, model = self.rng, self.model
        spots = np.array(taken or [(0, 0, .2)])
        centre = np.array([*spots[:, :2].mean(0), rng.uniform(.01, .07)])
        extent = (np.hypot(*(spots[:, :2] - centre[:2]).T) + .5 * spots[:, 2]).max()
        if rng.random() < .45:      # a closer look at one thing
            x, y, r = spots[rng.integers(len(spots))]
            centre[:2], extent = (x, y), r * rng.uniform(1.1, 2.2)
        centre[:2] += rng.normal(0, .12 * extent, 2)
        up, around = np.radians(rng.uniform(15, 80)), rng.uniform(0, 2 * np.pi)
        fov = rng.uniform(32, 62)
        distance = max(.16, extent * rng.uniform(.7, 1.15)) / np.tan(np.radians(fov / 2))
        away = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
        eye = centre + away * min(distance, 2.2)
        right = np.cross([0, 0, 1], away)
        right /= np.linalg.norm(right)
        frame = Rotation.from_matrix(np.stack([right, np.cross(away, right), away], 1))
        x, y, z, w = (frame * Rotation.from_euler("z", rng.normal(0, 4), True)).as_quat()
        model.cam_pos[0], model.cam_quat[0], model.cam_fovy[0] = eye, (w, x, y, z), fov
        power = rng.dirichlet([4, 1.5, 1.5]) * rng.uniform(.6, .9)
        for n in range(3):
            tilt, spin = rng.uniform(.05, 1.1), rng.uniform(0, 2 * np.pi)
            direction = -np.array([np.sin(tilt) * np.cos(spin), np.sin(tilt) * np.sin(spin), np.cos(tilt)])
            model.light_dir[n], model.light_pos[n] = direction, -2.2 * direction
            model.light_diffuse[n] = power[n] * rng.uniform(.94, 1.06, 3)
            model.light_specular[n] = rng.uniform(.1, .4)
        model.light_castshadow[0] = rng.random() < .8
        model.vis.headlight.ambient[:] = rng.uniform(.25, .42)
        model.vis.headlight.diffuse[:] = rng.uniform(0, .25)
        model.vis.headlight.specular[:] = 0

    def take(self):
        """One picture: RGB, leaf ids and nodes."""
        words = self._paint()
        taken = self._place()
        if self.robot:
            self.robot.pose()
        self._shoot(taken)
        mujoco.mj_forward(self.model, self.data)
        self.renderer.disable_segmentation_rendering()
        self.renderer.update_scene(self.data, camera="eye")
        image = self.renderer.render().copy()
        self.renderer.enable_segmentation_rendering()
        self.renderer.update_scene(self.data, camera="eye")
        seen = self.renderer.render()
        surfaces, instances, lookup = [], [], np.zeros(self.model.ngeom + 1, np.int64)
        for i, body in enumerate(self.bodies):
            instances.append({"word": body.word, "surfaces": [], "unseen": self.unseen[i]})
        for g, (i, node, _), word in zip(self.ids, self.geoms, words):
            if (node, word) not in instances[i]["surfaces"]:
                instances[i]["surfaces"].append((node, word))
        for i, one in enumerate(instances):
            surfaces += [(i, *s) for s in one["surfaces"]]
        number = {s: n + 1 for n, s in enumerate(surfaces)}
        for g, (i, node, _), word in zip(self.ids, self.geoms, words):
            lookup[g] = number[(i, node, word)]
        is_geom = seen[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)
        owners = np.where(is_geom, lookup[np.where(is_geom, seen[..., 0], -1)], 0)
        return image, owners, instances
