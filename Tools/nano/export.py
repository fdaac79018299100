# SPDX-License-Identifier: Apache-2.0
"""Writes the model folder: two checkpoints' averaged weights, tokenizer, config and manifest."""
import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import config
from models.osprey import Labeler
from models.sam import Segmenter
from text import Tokenizer


def weights(module, checkpoint, dtype):
    """The averaged weights of a training checkpoint (or random ones), as named tensors."""
    if checkpoint:
        averaged = torch.load(checkpoint, weights_only=False)["ema"]
        averaged = {k.removeprefix("model."): v for k, v in averaged.items() if not k.startswith("heads.")}
        module.load_state_dict(averaged, strict=False)
    return {k: v.to(dtype).contiguous() for k, v in module.state_dict().items() if v.is_floating_point()}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--segmenter", help="checkpoint of train_segmenter.py; random weights without it")
    p.add_argument("--labeler", help="checkpoint of train_labeler.py; random weights without it")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--calibration", type=float, nargs=3, metavar=("TEMPERATURE", "LENGTH_EXPONENT", "NONE_BIAS"),
                   help="of a user's vocabulary, as `pandion eval … --vocabulary categories --calibrate` fits it to these weights")
    p.add_argument("--precisions", nargs="*", default=[], choices=["int8", "bf16"],
                   help="what `pandion eval … --against-fp32` measured to keep masks and words, fastest first")
    p.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    a = p.parse_args()
    out, dtype = Path(a.out), getattr(torch, a.dtype)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    llm = {**config.LLM, "vocab_size": Tokenizer(a.tokenizer).size, "torch_dtype": a.dtype}
    save_file(weights(Segmenter(config.SEGMENTER), a.segmenter, dtype), out / "segmenter.safetensors")
    labeler = weights(Labeler(llm), a.labeler, dtype)
    save_file({k: v for k, v in labeler.items() if k.startswith("visual.")}, out / "vision_tower.safetensors")
    save_file({k: v for k, v in labeler.items() if not k.startswith("visual.")}, out / "labeler.safetensors")
    shutil.copy(a.tokenizer, out / "tokenizer.model")
    (out / "config.json").write_text(json.dumps(llm, indent=2) + "\n")

    names = ["segmenter.safetensors", "labeler.safetensors", "vision_tower.safetensors", "tokenizer.model", "config.json"]
    manifest = {
        "name": "pandion-nano", "license": "Apache-2.0",
        "description": "A small SAM and a small Osprey, trained from scratch on generated scenes.",
        "segmenter": {"file": "segmenter.safetensors", **config.SEGMENTER},
        "labeler": {"file": "labeler.safetensors", "vision_tower": "vision_tower.safetensors",
                    "tokenizer": "tokenizer.model", "config": "config.json", **config.LABELER},
        "files": [{"path": n, "sha256": hashlib.sha256((out / n).read_bytes()).hexdigest(),
                   "size": (out / n).stat().st_size} for n in names],
        "source": ["Tools/nano"],
    }
    if a.precisions:
        manifest["segmenter"]["precisions"] = manifest["labeler"]["precisions"] = a.precisions
    if a.calibration:
        manifest["labeler"]["vocabulary_calibration"] = dict(zip(["temperature", "length_exponent", "none_bias"], a.calibration))
    (out / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
    for path in out.iterdir():
        path.chmod(0o644)
    print(sum(f["size"] for f in manifest["files"]), "bytes in", out)


if __name__ == "__main__":
    main()
