# SPDX-License-Identifier: Apache-2.0
"""Makes a labeler of Osprey-7B's shape and random weights from one of two layers, to try memory and speed with.

The layers of a packed labeler (what `pandion models quantize` writes, for instance of the folder that osprey_full.py
keeps) are repeated until there are 32; everything else is copied, the second GGUF behind the first too.

    pip install gguf numpy
    python Tools/parity/random_7b.py two_layers.q4_0.gguf seven.gguf [--layers 32]
"""
import argparse
import re
import struct

import gguf


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", help="a packed labeler of few layers")
    p.add_argument("out")
    p.add_argument("--layers", type=int, default=32)
    a = p.parse_args()
    reader = gguf.GGUFReader(a.source)
    fields = {k: f for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    place = {k: int(fields[f"osprey.companion.{k}"].contents()) for k in ("offset", "length")}
    writer = gguf.GGUFWriter(a.out, fields["general.architecture"].contents())
    for key, field in fields.items():
        if key == "general.architecture":
            continue
        value = field.contents()
        if key == "llama.block_count":
            value = a.layers
        kind = field.types[0]
        writer.add_key_value(key, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    layers = {}
    for tensor in reader.tensors:
        match = re.fullmatch(r"blk\.(\d+)\.(.*)", tensor.name)
        if match:
            layers.setdefault(int(match[1]), []).append((match[2], tensor))
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    for i in range(a.layers):
        for name, tensor in layers[i % len(layers)]:
            writer.add_tensor(f"blk.{i}.{name}", tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open(a.source, "rb") as source, open(a.out, "r+b") as out:
        begin = out.seek(0, 2)
        begin += -begin % 32
        out.seek(begin)
        source.seek(place["offset"])
        left = place["length"]
        while left:
            block = source.read(min(left, 1 << 24))
            out.write(block)
            left -= len(block)
        out.seek(0)
        header = out.read(1 << 24)
        key = b"osprey.companion.offset"
        at = header.index(key) + len(key) + 4  # behind the name, the value's type
        out.seek(at)
        out.write(struct.pack("<Q", begin))
    print(f"{a.out}: {a.layers} layers, {begin + place['length']:,} bytes")


if __name__ == "__main__":
    main()
