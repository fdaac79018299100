# SPDX-License-Identifier: Apache-2.0
"""Small meshes made from numbers: surfaces of revolution, tubes and extruded outlines."""
import numpy as np


def _grid_faces(rows, columns):
    """Triangles of a grid that closes on itself along its columns."""
    faces = []
    for i in range(rows - 1):
        for j in range(columns):
            a, b = i * columns + j, i * columns + (j + 1) % columns
            faces += [(a, b, b + columns), (a, b + columns, a + columns)]
    return faces


def revolve(profile, segments=28):
    """Turns (radius, height) pairs about z, listed bottom outside to the end of the inside."""
    profile = np.asarray(profile, float)
    angle = np.arange(segments) * 2 * np.pi / segments
    r, z = np.maximum(profile[:, :1], 1e-5), profile[:, 1:]
    points = np.stack([r * np.cos(angle), r * np.sin(angle), np.repeat(z, segments, 1)], -1)
    return points.reshape(-1, 3), np.array(_grid_faces(len(profile), segments))


def vessel(outline, wall=.003):
    """The profile of an open container with this outer outline (bottom to rim)."""
    outside = [(0, outline[0][1])] + list(outline)
    inside = [(max(r - wall, .001), max(z, outline[0][1] + wall)) for r, z in reversed(outline)]
    return outside + inside + [(0, outline[0][1] + wall)]


def tube(path, radius, segments=10):
    """A round tube along a path; `radius` may be one number or one per point."""
    path = np.asarray(path, float)
    radius = np.broadcast_to(radius, len(path))
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    side = np.array([0., 0, 1]) if abs(along[0][2]) < .9 else np.array([0., 1, 0])
    rows = []
    for point, direction, r in zip(path, along, radius):
        u = np.cross(direction, side)
        if np.linalg.norm(u) < 1e-3:
            u = np.cross(direction, [1., .1, .1])
        u /= np.linalg.norm(u)
        v = np.cross(direction, u)
        side = -np.cross(direction, u) if np.dot(v, side) < 0 else v
        angle = np.arange(segments) * 2 * np.pi / segments
        rows.append(point + r * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v))
    start, end = len(path) * segments, len(path) * segments + 1
    faces = _grid_faces(len(path), segments)
    last = (len(path) - 1) * segments
    for j in range(segments):
        k = (j + 1) % segments
        faces += [(start, k, j), (end, last + j, last + k)]
    return np.concatenate(rows + [path[:1], path[-1:]]), np.array(faces)


def arc(centre, radius, start, stop, plane="xz", steps=14):
    """Points of an elliptic arc (angles in degrees); `radius` is a number or a pair."""
    a = np.radians(np.linspace(start, stop, steps))
    rx, ry = (radius, radius) if np.isscalar(radius) else radius
    out = np.tile(np.asarray(centre, float), (steps, 1))
    i, j = "xyz".index(plane[0]), "xyz".index(plane[1])
    out[:, i] += rx * np.cos(a)
    out[:, j] += ry * np.sin(a)
    return out


def extrude(outline, height):
    """A star-shaped outline in the xy plane, given thickness along z."""
    outline = np.asarray(outline, float)
    n, middle = len(outline), outline.mean(0)
    points = np.concatenate([np.c_[outline, np.zeros(n)], np.c_[outline, np.full(n, height)],
                             [[*middle, 0], [*middle, height]]])
    faces = []
    for j in range(n):
        k = (j + 1) % n
        faces += [(j, k, n + k), (j, n + k, n + j), (2 * n, k, j), (2 * n + 1, n + j, n + k)]
    return points, np.array(faces)
