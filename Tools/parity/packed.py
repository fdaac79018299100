# SPDX-License-Identifier: Apache-2.0
"""Packed labelers of ours in llama.cpp: the same prompt's logits by `pandion trace`, by llama.cpp and by float64.

    pip install gguf llama-cpp-python safetensors pillow numpy
    python3 Tools/parity/packed.py --pandion .build/release/pandion --work /tmp/packed \
        [--fixtures Tests/OspreyTests/Fixtures] [--model pandion-nano] [--layers 2] [--hidden 256]

A random LLaMA is packed and quantised in each way. `pandion trace` tells the prompt's embeddings and the logits behind
it; llama.cpp gets the same embeddings; the truth is computed in float64 from the file's weights as the gguf package
dequantises them. Printed are both distances from the truth. Also compared, tensor by tensor: what `llama-quantize` makes
of the same float32 file. With --fixtures, files and goldens for Tests/OspreyTests are written.
"""
import argparse
import ctypes
import json
import shutil
import subprocess
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

TYPES = ["q8_0", "q4_0", "q4_k", "q6_k"]
ROOT = Path(__file__).resolve().parents[2]


def picture(width, height):
    """The pattern of Tools/parity/osprey.py and of the Swift tests."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return (((x * (3 + c) + y * (5 - c)) ^ ((x * y) >> (4 + c))) & 255).astype(np.uint8)


def random_folder(folder, fixtures, hidden, layers, seed=0):
    """A labeler of random weights around the test tower, whose language model has rows that every block fills."""
    r = np.random.default_rng(seed)
    inner, heads, kv, vocabulary = hidden, 4, 2, 560
    size = hidden // heads
    old = load_file(fixtures / "grouped.safetensors")
    tensors = {k: v for k, v in old.items() if k.startswith("mask_extractor.")}

    def dense(name, outputs, inputs, scale=1.0):
        tensors[name] = (r.normal(0, scale / np.sqrt(inputs), (outputs, inputs))).astype(np.float32)

    for name in ["mask_extractor.feat_linear", "mask_extractor.mask_linear.layers.2"]:
        dense(name + ".weight", hidden, 32)
        tensors[name + ".bias"] = np.zeros(hidden, np.float32)
    dense("model.mm_projector.0.weight", hidden, 24)
    dense("model.mm_projector.2.weight", hidden, hidden)
    for name in ["model.mm_projector.0.bias", "model.mm_projector.2.bias"]:
        tensors[name] = np.zeros(hidden, np.float32)
    dense("model.embed_tokens.weight", vocabulary, hidden, np.sqrt(hidden))
    for i in range(layers):
        p = f"model.layers.{i}."
        dense(p + "self_attn.q_proj.weight", heads * size, hidden)
        dense(p + "self_attn.k_proj.weight", kv * size, hidden)
        dense(p + "self_attn.v_proj.weight", kv * size, hidden)
        dense(p + "self_attn.o_proj.weight", hidden, heads * size)
        dense(p + "mlp.gate_proj.weight", inner, hidden)
        dense(p + "mlp.up_proj.weight", inner, hidden)
        dense(p + "mlp.down_proj.weight", hidden, inner)
        for norm in ["input_layernorm", "post_attention_layernorm"]:
            tensors[p + norm + ".weight"] = r.normal(1, 0.1, hidden).astype(np.float32)
    tensors["model.norm.weight"] = r.normal(1, 0.1, hidden).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "labeler.safetensors")
    shutil.copy(fixtures / "grouped.tower.safetensors", folder / "tower.safetensors")
    shutil.copy(fixtures / "tokenizer.model", folder / "tokenizer.model")
    config = dict(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, vocab_size=vocabulary, max_position_embeddings=2048, rms_norm_eps=1e-5,
        rope_theta=10000.0, tie_word_embeddings=True, hidden_act="silu", mm_projector_type="mlp2x_gelu",
        bos_token_id=1, eos_token_id=2)
    (folder / "config.json").write_text(json.dumps(config))
    labeler = dict(file="labeler.safetensors", vision_tower="tower.safetensors", image_size=64)
    (folder / "model.json").write_text(json.dumps(dict(name=folder.name, labeler=labeler, files=[])))


def run(*command):
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def trace(pandion, model, work):
    """The prompt's embeddings [L, D] and the logits behind it [V], by this program."""
    image, masks, out = work / "image.png", work / "masks.json", work / "trace.safetensors"
    Image.fromarray(picture(60, 50)).save(image)
    # The left 20 columns, column-major runs.
    masks.write_text(json.dumps([{"segmentation": {"size": [50, 60], "counts": [0, 1000, 2000]}}]))
    run(pandion, "trace", image, "--masks", masks, "--labeler", model, "--max-tokens", 1, "--out", out)
    arrays = load_file(out)
    return arrays["osprey.prompt_embeddings"], arrays["osprey.first_logits"]


class Weights:
    """A file's tensors in float64, dequantised by the gguf package."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = {f.name: f.contents() for f in reader.fields.values() if f.name.startswith("llama.")}
        self.types = {t.name: t.tensor_type for t in reader.tensors}
        self.bytes = {t.name: bytes(t.data) for t in reader.tensors}
        self.tensors = {
            t.name: gguf.dequantize(t.data, t.tensor_type).reshape([int(n) for n in t.shape[::-1]]).astype(np.float64)
            for t in reader.tensors}

    def __getitem__(self, name):
        return self.tensors[name + ".weight"]


def truth(w, x):
    """LLaMA [Touvron et al., 2023] over embeddings [L, D] in float64; the logits behind the last."""
    f = lambda name: w.fields["llama." + name]
    heads, kv, size = f("attention.head_count"), f("attention.head_count_kv"), f("rope.dimension_count")
    epsilon = f("attention.layer_norm_rms_epsilon")
    x = x.astype(np.float64)
    n = len(x)
    frequencies = 1 / f("rope.freq_base") ** (np.arange(0, size, 2) / size)
    turn = np.exp(1j * np.arange(n)[:, None] * frequencies)

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight

    def rotate(y, count):
        # Neighbours turn together: they are a complex number.
        z = np.ascontiguousarray(y.reshape(n, count, size)).view(np.complex128) * turn[:, None]
        return z.view(np.float64)

    for i in range(f("block_count")):
        b = f"blk.{i}."
        h = norm(x, w[b + "attn_norm"])
        q, k = rotate(h @ w[b + "attn_q"].T, heads), rotate(h @ w[b + "attn_k"].T, kv)
        v = (h @ w[b + "attn_v"].T).reshape(n, kv, size)
        k, v = np.repeat(k, heads // kv, 1), np.repeat(v, heads // kv, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size)
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", p, v).reshape(n, -1) @ w[b + "attn_output"].T
        h = norm(x, w[b + "ffn_norm"])
        gate = h @ w[b + "ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[b + "ffn_up"].T)) @ w[b + "ffn_down"].T
    head = w["output"] if "output.weight" in w.tensors else w["token_embd"]
    return norm(x[-1], w["output_norm"]) @ head.T


def llama_logits(path, x):
    """llama.cpp's logits behind the embeddings [L, D]."""
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    assert model, f"llama.cpp does not open {path}"
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch, parameters.n_ubatch, parameters.n_threads = 2048, 2048, 2048, 1
    context = llama_cpp.llama_init_from_model(model, parameters)
    n, width = x.shape
    batch = llama_cpp.llama_batch_init(n, width, 1)
    batch.n_tokens = n
    ctypes.memmove(batch.embd, np.ascontiguousarray(x, np.float32).ctypes.data, 4 * n * width)
    for i in range(n):
        batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = i, 1, 0, i == n - 1
    assert llama_cpp.llama_decode(context, batch) == 0
    count = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, n - 1), (count,)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits


def llama_quantize(source, target, kind, pure):
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.pure, parameters.nthread = kind, pure, 1
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters)) == 0


def distance(a, b):
    """The largest difference, of the scale of b."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pandion", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--fixtures", help="where to write files and goldens for the Swift tests")
    parser.add_argument("--model", help="a name or folder; a random one unless given")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    arguments = parser.parse_args()
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    fixtures = ROOT / "Tests/OspreyTests/Fixtures"
    llama_cpp.llama_backend_init()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)

    model = arguments.model
    if not model:
        model = work / "random"
        random_folder(model, fixtures, arguments.hidden, arguments.layers)
    files = {}
    for kind in ["f32", "f16"]:
        files[kind] = work / f"{kind}.gguf"
        run(arguments.pandion, "models", "convert", model, "--type", kind, "--out", files[kind], "--force")
    for kind in TYPES:
        files[kind] = work / f"{kind}.gguf"
        run(arguments.pandion, "models", "quantize", files["f32"], "--type", kind, "--out", files[kind], "--force")

    # What llama.cpp itself mixes of Q4_K and Q6_K, with the rest behind it again.
    files["q4_k_m"] = work / "q4_k_m.gguf"
    llama_quantize(files["f32"], work / "bare.gguf", 15, pure=False)
    run(arguments.pandion, "models", "convert", model, "--language-model", work / "bare.gguf", "--out",
        files["q4_k_m"], "--force")

    print(f"{'type':8} {'ours':>10} {'llama.cpp':>10}   largest distance from float64, of the logits' scale")
    goldens = {}
    for kind, path in files.items():
        x, ours = trace(arguments.pandion, path, work)
        expected, theirs = truth(Weights(path), x), llama_logits(path, x)
        mine, other = distance(ours, expected), distance(theirs, expected)
        print(f"{kind:8} {mine:10.2e} {other:10.2e}   {'' if mine <= other else 'OURS IS FURTHER'}")
        goldens[kind] = dict(logits=[round(float(v), 5) for v in expected], llama_cpp=other)

    print("blocks of `models quantize` and of llama.cpp, of the same float32 file:")
    for kind, code in [("q8_0", 7), ("q4_0", 2), ("q4_k", 15), ("q6_k", 18)]:
        target = work / f"llama_cpp.{kind}.gguf"
        llama_quantize(files["f32"], target, code, pure=True)
        a, b = Weights(files[kind]), Weights(target)
        same = [n for n in a.types if a.types[n] == b.types.get(n)]
        blocks = [n for n in same if a.types[n].name not in ("F32", "F16")]
        differing = [n for n in blocks if a.bytes[n] != b.bytes[n]]
        print(f"{kind:8} {len(blocks)} tensors of the same type, {len(differing)} differ in any bit {differing[:3]}")

    if arguments.fixtures:
        out = Path(arguments.fixtures)
        for kind in ["q8_0", "q4_k_m"]:
            shutil.copy(files[kind], out / f"random.{kind}.gguf")
        keep = {k: goldens[k] for k in ["q8_0", "q4_k_m"]}
        (out / "llama_cpp.json").write_text(json.dumps(keep))


if __name__ == "__main__":
    main()
