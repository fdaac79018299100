# SPDX-License-Identifier: Apache-2.0
"""Turns a map of geoms into the tree of labelled nodes of one picture."""
import numpy as np

LEAST = 200     # visible pixels a node needs, of 512²
MOST = .92      # share of its parent above which a part says nothing new


def article(phrase):
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _listed(words):
    words = [article(w) for w in words]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _majority(counts):
    return max(sorted(counts), key=counts.get) if counts else ""


def label(owners, instances, table):
    """`owners` (H, W) indexes `surfaces` + 1, the flat list of every instance's visible surfaces.

    An instance is a dict: word, surfaces [(node path, paint word)], unseen. `table` is the index
    of the table among the instances, or None. Returns the map of leaf ids and the nodes.
    """
    keys = [(i, path, paint) for i, one in enumerate(instances) for path, paint in one["surfaces"]]
    counts = np.bincount(owners.ravel(), minlength=len(keys) + 1)[1:]
    leaf_of, members, paints = {}, {}, {}
    for (i, path, paint), count in zip(keys, counts):
        if not count:
            continue
        leaf = leaf_of.setdefault((i, path), len(leaf_of) + 1)
        steps = path.split("/") if path else []
        for depth in range(len(steps) + 1):
            node = members.setdefault((i, "/".join(steps[:depth])), {})
            node[leaf] = node.get(leaf, 0) + int(count)
        paints.setdefault(i, {})[paint] = paints.get(i, {}).get(paint, 0) + int(count)
    lookup = np.zeros(len(keys) + 1, np.uint16)
    for n, (i, path, _) in enumerate(keys):
        lookup[n + 1] = leaf_of.get((i, path), 0)
    leaves = lookup[owners]

    share = .05 * owners.size
    kept, nodes = {}, []
    for (i, path), inside in sorted(members.items(), key=lambda item: (item[0][1].count("/") + bool(item[0][1]), item[0])):
        pixels = sum(inside.values())
        above = (i, path.rpartition("/")[0]) if path else None
        if pixels < LEAST or (path and above not in kept):
            continue
        if not path and i == table and pixels < share:
            continue
        if above and pixels > MOST * sum(members[above].values()):
            continue
        kept[(i, path)] = node = {"id": len(nodes) + 1, "parent": kept[above]["id"] if above else None,
                                  "level": path.count("/") + bool(path)}
        word = path.rpartition("/")[2].split("#")[0] if path else instances[i]["word"]
        node.update(category=word, leaves=sorted(inside), unseen=bool(instances[i].get("unseen")))
        node["_key"] = (i, path)
        nodes.append(node)
    _describe(nodes, instances, paints, table)
    return leaves, nodes


def _describe(nodes, instances, paints, table):
    names, parts = {}, {}
    for node in nodes:
        i, path = node["_key"]
        if not path:
            paint = _majority({k: v for k, v in paints[i].items() if k})
            node["caption"] = f"{paint} {node['category']}" if paint else node["category"]
            names[i] = node["caption"]
        else:
            above = path.rpartition("/")[0]
            owner = above.rpartition("/")[2].split("#")[0] if above else instances[i]["word"]
            node["caption"] = f"{node['category']} of the {owner}"
            words = parts.setdefault((i, above), [])
            if node["category"] not in words + ["body"]:
                words.append(node["category"])
    place = f", on {article(names[table])}" if table in names else ""
    for node in nodes:
        i, path = node.pop("_key")
        inside = parts.get((i, path))
        tail = f" with {_listed(inside[:3])}" if inside else ""
        if path:
            text = f"The {node['caption'] if '/' in path else node['category'] + ' of ' + article(names[i])}{tail}"
        else:
            text = article(node["caption"]) + tail + ("" if i == table or instances[i].get("loose") else place)
        node["description"] = text[0].upper() + text[1:] + "."
