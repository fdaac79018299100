# SPDX-License-Identifier: Apache-2.0
"""Rows of numbers and what the gguf package and ggml make of them, for Tests/CheckpointsTests.

    pip install gguf llama-cpp-python
    python3 Tools/parity/quantization.py --out Tests/CheckpointsTests/Fixtures [--ggml libggml-base.so]

Q8_0 and Q4_0 come from the gguf package and are compared with ggml's; the K types come from ggml, whose reference
quantisers the package lacks; all are dequantised by the package.
"""
import argparse
import ctypes
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.numpy import save_file

COLUMNS = 512
TYPES = ["Q8_0", "Q4_0", "Q4_K", "Q6_K"]


def rows():
    """Ordinary weights, and everything that a search or a scale might trip over."""
    r = np.random.default_rng(0)
    n = COLUMNS
    ordinary = [r.normal(0, s, n) for s in (0.02, 1, 3e-4, 0.1, 0.015, 40)]
    outlier = r.normal(0, 0.02, n)
    outlier[[17, 300]] = [9, -7]
    halves = np.round(r.normal(0, 0.5, n) * 16) / 16
    sparse = np.where(r.random(n) < 0.05, r.normal(0, 1, n), 0)
    mixed = r.normal(0, 1, n) * np.repeat(10.0 ** r.integers(-6, 3, n // 16), 16)
    odd = [
        np.zeros(n), np.full(n, 0.25), np.full(n, -3.5), np.abs(r.normal(0, 1, n)), -np.abs(r.normal(0, 1, n)) - 2,
        outlier, halves, sparse, mixed, np.linspace(-1, 1, n), r.normal(0, 1e-9, n), r.normal(0, 1e-14, n),
        r.normal(0, 1e-16, n), r.normal(0, 1e-36, n), r.normal(0, 1e-41, n), r.normal(0, 1e5, n), r.normal(0, 1e15, n),
        r.normal(0, 1e30, n), r.laplace(0, 0.02, n), np.sign(r.normal(0, 1, n)), r.uniform(-0.05, 0.05, n),
        np.concatenate([np.zeros(n // 2), r.normal(0, 1, n // 2)]),
    ]
    return np.stack(ordinary + odd).astype(np.float32)


def ggml_quantized(library, x, type):
    block, size = GGML_QUANT_SIZES[type]
    out = np.zeros((x.shape[0], x.shape[1] // block * size), np.uint8)
    chunk = library.ggml_quantize_chunk
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    chunk.restype = ctypes.c_size_t
    # The bits must not depend on the run: ggml's search reads nothing but its row.
    done = chunk(int(type), x.ctypes.data, out.ctypes.data, 0, x.shape[0], x.shape[1], None)
    assert done == out.size, (done, out.size)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ggml", help="libggml-base.so; the one of llama-cpp-python unless given")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    if not arguments.ggml:
        import llama_cpp
        arguments.ggml = next((Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so*"))
    library = ctypes.CDLL(str(arguments.ggml))

    x = rows()
    tensors = {"numbers": x, "F16": x.astype(np.float16).view(np.uint8),
               "BF16": gguf.quantize(x, GGMLQuantizationType.BF16).view(np.uint8).reshape(len(x), -1)}
    with np.errstate(all="ignore"):
        for name in TYPES:
            type = GGMLQuantizationType[name]
            blocks = ggml_quantized(library, x, type)
            if name in ("Q8_0", "Q4_0"):
                package = gguf.quantize(x, type)
                differing = (package != blocks).any(axis=1).nonzero()[0]
                print(f"{name}: rows where the gguf package and ggml differ: {differing.tolist()}")
                blocks = package
            tensors[name] = blocks
            tensors[f"{name}.numbers"] = gguf.dequantize(blocks, type)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out / "blocks.safetensors")
    write_file(out / "small.gguf", x)


def write_file(path, x):
    """A GGUF by the gguf package: values of every type, tensors of types that are read and of one that is not."""
    writer = gguf.GGUFWriter(path, "test")
    writer.add_uint8("an.uint8", 200)
    writer.add_int8("an.int8", -3)
    writer.add_uint16("an.uint16", 60000)
    writer.add_int16("an.int16", -300)
    writer.add_uint32("an.uint32", 4_000_000_000)
    writer.add_int32("an.int32", -70000)
    writer.add_float32("a.float32", 0.1)
    writer.add_uint64("an.uint64", 1 << 40)
    writer.add_int64("an.int64", -(1 << 40))
    writer.add_float64("a.float64", 0.25)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", "tafel \u00e9")
    writer.add_array("some.int32s", [1, -2, 3])
    writer.add_array("some.float32s", [0.5, -1.5])
    writer.add_array("some.strings", ["<s>", "\u2581a", ""])
    writer.add_tensor("dense", x[:2, :6].copy())
    writer.add_tensor("half", x[:2, :6].astype(np.float16))
    writer.add_tensor("vector", x[0, :5].copy())
    for name in TYPES:
        blocks = gguf.quantize(x[:2], GGMLQuantizationType[name]) if name in ("Q8_0", "Q4_0") else None
        if blocks is not None:
            writer.add_tensor(name.lower(), blocks, raw_dtype=GGMLQuantizationType[name])
    writer.add_tensor("unread", gguf.quantize(x[:2], GGMLQuantizationType.Q5_0), raw_dtype=GGMLQuantizationType.Q5_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
