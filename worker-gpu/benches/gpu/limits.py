"""The fastest that a model can be on a GPU, from its bytes and operations; shared by the measurements."""

import dataclasses
import json
import subprocess
import sys

# Bytes per second and bf16 operations per second that matrix products and copies reach. H200: measured with PyTorch
# (device-to-device copy, 8192 x 8192 x 8192 product of random numbers). The others: assumed from NVIDIA's data sheets.
GPUS = {"H200": (4.3e12, 790e12), "H100": (2.95e12, 650e12), "A100": (1.8e12, 255e12)}


@dataclasses.dataclass(frozen=True)
class Model:
    """A shape, with what a step has to read: weights once, and each sequence's keys and values."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int

    @property
    def layer_weights(self):
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def multiplied(self):
        """Weights that each token is multiplied with."""
        return self.layer_weights + self.hidden * self.vocabulary

    def bytes(self, int4):
        """Bytes of weights that a step reads. Four bits: 16 bits of scale and of bias for 128 weights."""
        per_weight = 0.5 + 4 / 128 if int4 else 2
        return self.layer_weights * per_weight + 2 * self.hidden * self.vocabulary

    @property
    def kv_bytes(self):
        """Bytes of keys and values per token of context, in bf16."""
        return 4 * self.layers * self.kv_heads * self.head_dim


MODELS = {
    "qwen3-0.6b": Model(28, 1024, 3072, 16, 8, 128, 151936),
    "qwen3-14b": Model(40, 5120, 17408, 40, 8, 128, 151936),
}


def limit(model, gpu, sequences, context, int4=False):
    """Tokens per second of all sequences together that no program exceeds."""
    bandwidth, operations = GPUS[gpu]
    step = max(model.bytes(int4) / bandwidth, 2 * model.multiplied * sequences / operations)
    return sequences / (step + sequences * context * model.kv_bytes / bandwidth)


def gpu():
    """Which GPU this is, by nvidia-smi's name."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    found = [key for key in GPUS if key in name]
    if not found:
        sys.exit(f"{name}: add its rates to GPUS in {__file__}")
    return found[0]


def report(what, name, sequences, context, rate, int4=False):
    """Prints one measurement as a line of JSON and as a row for people."""
    card = gpu()
    most = limit(MODELS[name], card, sequences, context, int4)
    row = {"what": what, "model": name, "gpu": card, "int4": int4, "sequences": sequences, "context": context}
    print(json.dumps(row | {"tokens_per_second": round(rate, 1), "limit": round(most, 1), "share": round(rate / most, 3)}))
    print(f"{what:14} B={sequences:<4} ctx {context}: {rate:9.1f} tok/s, {rate / most:6.1%} of {most:.0f}", file=sys.stderr)
