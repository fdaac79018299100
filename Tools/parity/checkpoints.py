# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints in every torch format, and what torch reads from them, for Tests/CheckpointsTests.

    python3 Tools/parity/checkpoints.py --out Tests/CheckpointsTests/Fixtures
"""
import argparse
import collections
import os
import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file


class Evil:
    """Unpickled by Python, this would run a command."""

    def __reduce__(self):
        return os.system, ("echo owned",)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    base = torch.randn(6, 8)
    tensors = collections.OrderedDict(
        plain=torch.randn(3, 4, 2, 2), half=torch.randn(5, 7).half(), brain=torch.randn(4, 3).bfloat16(),
        double=torch.randn(3).double(), transposed=base.t(), window=base[1:5, 2:7], step=base[::2, ::3],
        parameter=torch.nn.Parameter(torch.randn(2, 3)), counter=torch.tensor(7), index=torch.arange(6).view(2, 3),
        flags=torch.tensor([True, False, True]), empty=torch.zeros(0, 4), bytes=torch.arange(5, dtype=torch.uint8))
    torch.save(tensors, out / "plain.pth")
    torch.save({"epoch": 3, "lr": 0.1, "state_dict": tensors, "args": {"names": ["a", "b"]}}, out / "wrapped.pt")
    torch.save({"model": {"block": {"0": tensors["plain"], "1": tensors["half"]}}}, out / "nested.bin")
    torch.save(tensors, out / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, out / "expected.safetensors")

    with open(out / "evil.pkl", "wb") as file:
        pickle.dump({"weight": Evil()}, file, protocol=2)
    with zipfile.ZipFile(out / "evil.pth", "w") as archive:
        archive.write(out / "evil.pkl", "archive/data.pkl")
    (out / "evil.pkl").unlink()
    with zipfile.ZipFile(out / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 100_000)


if __name__ == "__main__":
    main()
