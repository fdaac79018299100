# SPDX-License-Identifier: Apache-2.0
"""The runtimes side by side: each prepares a subject, answers with its outputs, and is timed on its parts."""
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np


def timed(body, repeat, seconds, warm=True):
    """Milliseconds (the median) and how many runs they are of: one unmeasured, then `repeat` unless they take too long."""
    if warm:
        body()
    times, begin = [], time.perf_counter()
    while len(times) < repeat and (not times or time.perf_counter() - begin < seconds):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times), len(times)


class Company:
    """How busy others kept the cores while something was measured: what they took, in cores."""

    def __init__(self):
        self.start = self.now()

    @staticmethod
    def now():
        try:
            busy = open("/proc/stat").readline().split()[1:9]
        except OSError:
            return None
        # user, nice, system, irq, softirq, steal; without idle and waiting.
        ticks = sum(int(v) for i, v in enumerate(busy) if i not in (3, 4)) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), ticks, sum(os.times()[:4])

    def cores(self):
        end = self.now()
        if not self.start or not end:
            return 0.0
        passed, busy, own = (b - a for a, b in zip(self.start, end))
        return max(0.0, busy - own) / max(passed, 1e-9)


def arrays(values):
    values = values if isinstance(values, (list, tuple)) else [values]
    return [np.asarray(v) for v in values]


class Torch:
    peers = ("torch",)

    def __init__(self, a):
        self.a = a

    def runner(self, peer, subject):
        return lambda part: subject.module(*part.inputs.values())


class OnnxRuntime:
    peers = ("ONNX Runtime",)

    def __init__(self, a):
        self.a = a

    def runner(self, peer, subject):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.a.threads, 1
        session = onnxruntime.InferenceSession(str(graph(self.a, subject)), options, providers=["CPUExecutionProvider"])
        return lambda part: session.run(None, {k: v.numpy() for k, v in part.inputs.items()})


class OpenVino:
    peers = ("OpenVINO f32", "OpenVINO bf16")

    def __init__(self, a):
        self.a = a

    def runner(self, peer, subject):
        import openvino
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": self.a.threads, "INFERENCE_PRECISION_HINT": peer.split()[1], "NUM_STREAMS": 1}
        request = core.compile_model(core.read_model(graph(self.a, subject)), "CPU", settings).create_infer_request()

        def run(part):
            result = request.infer({k: v.numpy() for k, v in part.inputs.items()})
            return [result[i].copy() for i in range(len(subject.outputs))]
        return run


class Pandion:
    """By its command line, which times itself."""
    peers = ("Pandion fp32", "Pandion bf16", "Pandion int8")

    def __init__(self, a):
        self.a = a

    def common(self, peer):
        return ["--threads", str(self.a.threads), "--precision", peer.split()[1]]

    def trace(self, words, peer="Pandion fp32"):
        from safetensors.numpy import load_file
        out = self.a.work / "trace.safetensors"
        self.call(["trace", self.a.image, *words, *self.common(peer), "--out", str(out)])
        return load_file(out)

    def call(self, words):
        run = subprocess.run([self.a.pandion, *words], capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"pandion {words[0]}: {run.stderr.strip()}")
        return run.stdout

    def bench(self, peer, part, extra=()):
        out = self.call(["bench", self.a.image, *part.options, *self.common(peer), "--only", part.bench, "--repeat",
                         str(self.a.repeat), "--json", *extra])
        return json.loads(out)["parts"][0]["median"], self.a.repeat


def graph(a, subject):
    """The subject as ONNX, exported once."""
    import torch
    path = Path(a.work) / f"{stem(a, subject)}.onnx"
    if not path.exists():
        inputs = list(subject.parts.values())[-1].inputs
        with torch.no_grad():
            torch.onnx.export(
                subject.module, tuple(inputs.values()), str(path), opset_version=17, input_names=list(inputs),
                output_names=list(subject.outputs), dynamo=False, dynamic_axes=subject.dynamic)
    return path


def stem(a, subject):
    """What files about a subject are called: by its weights, since those are what differs."""
    options = list(subject.parts.values())[0].options
    return f"{Path(options[1]).stem}.{subject.name}"
