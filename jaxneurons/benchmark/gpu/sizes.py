"""How large the checks are: for a GPU, and small enough for a CPU."""

import dataclasses
from collections.abc import Mapping

from jaxneurons import config
from jaxneurons.benchmark import workload
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is checked.

    Attributes:
        shapes: the models to time, by name.
        streamed: the one of `shapes` to stream from disk and to compare with peers.
        layers: most layers to run of each; what a whole model takes is extrapolated.
        window: T, tokens per window.
        windows_per_batch: B.
        tokens: of a timed forward pass.
        dtype: to time in.
        square: rows of the matrices whose product is the ceiling.
        copied_bytes: of the array whose copying gives the bandwidth.
        head_sizes: K of the small models that are compared with a float64 reference.
        heads: H of these.
        positions: T of these.
        repeats: of everything timed.
        calls: of what is timed, before one is waited for.
        end_tokens: whose masks a layer's end counts n-grams in.
        ends: of `shapes`, those whose layer's end is timed.
        study_tokens: of a whole study of opt-1.9m.
    """

    shapes: Mapping[str, Config]
    streamed: str
    layers: int
    window: int
    windows_per_batch: int
    tokens: int
    dtype: str
    square: int
    copied_bytes: int
    head_sizes: tuple[int, ...]
    heads: int
    positions: int
    repeats: int
    calls: int
    end_tokens: int
    ends: tuple[str, ...]
    study_tokens: int

    def workload(self, shape: str) -> Workload:
        """The timed forward pass of a shape, with no more than `layers` layers."""
        model = self.shapes[shape]
        return workload.checked(
            model,
            layers=min(self.layers, model.num_hidden_layers),
            tokens=self.tokens,
            window=self.window,
            windows_per_batch=self.windows_per_batch,
            dtype=self.dtype,
        )


FULL = Sizes(
    shapes={
        name: config.PUBLISHED[name]
        for name in (
            "opt-125m",
            "opt-1.3b",
            "opt-6.7b",
            "opt-13b",
            "opt-30b",
            "opt-66b",
        )
    },
    streamed="opt-6.7b",
    layers=4,
    window=2048,
    windows_per_batch=8,
    tokens=65536,
    dtype="float16",
    square=8192,
    copied_bytes=2**30,
    head_sizes=(64, 80, 128),
    heads=8,
    positions=512,
    repeats=3,
    calls=10,
    end_tokens=2**20,
    ends=("opt-125m", "opt-6.7b", "opt-66b"),
    study_tokens=40_000,
)
TOY = Sizes(
    shapes={
        "toy": Config(
            vocab_size=256,
            hidden_size=64,
            ffn_dim=128,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=64,
        )
    },
    streamed="toy",
    layers=2,
    window=64,
    windows_per_batch=2,
    tokens=512,
    dtype="float32",
    square=128,
    copied_bytes=2**20,
    head_sizes=(16,),
    heads=2,
    positions=32,
    repeats=1,
    calls=2,
    end_tokens=512,
    ends=("toy",),
    study_tokens=1000,
)
