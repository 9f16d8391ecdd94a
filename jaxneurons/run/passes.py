"""All layers over all windows, in one pass or in several, and what each layer found as the study keeps it.

In: a study that is begun, its model and windows. Out: the same study with every layer done. Usually there is
one pass, and a layer is done when all windows went through it. With fewer tokens a pass, so that their
hidden states fit where it is fast, the weights are read again for each; sums over the passes before
wait in the study's partial folder, and an interrupted pass begins again.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxneurons import devices
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
from jaxneurons.counting import ngram_coverage, reductions
from jaxneurons.devices import Spread
from jaxneurons.disk import files
from jaxneurons.run import memory_plan
from jaxneurons.run.settings import Resources, Settings
from jaxneurons.stats import activation
from jaxneurons.store import reading
from jaxneurons.stream import hidden, loop
from jaxneurons.stream.step import Kind, Step
from jaxneurons.studies import candidates, contents, study
from jaxneurons.text.corpus import Windows

TIMES = ("seconds", "wait_seconds")


class Pass(NamedTuple):
    """Some of the study's windows, which go through all layers together.

    Attributes:
        windows: those of the pass.
        spread: how they lie on the devices.
        first: windows before it.
        of: windows of the study.
    """

    windows: Windows
    spread: Spread
    first: int
    of: int

    @property
    def stop(self) -> int:
        """Windows up to its end."""
        return self.first + len(self.windows.tokens)

    @property
    def is_last(self) -> bool:
        """Whether a layer is done with it."""
        return self.stop == self.of

    @property
    def is_whole(self) -> bool:
        """Whether it is the only one."""
        return self.first == 0 and self.is_last


def run_passes(
    record: study.Study,
    model: reading.Store,
    windows: Windows,
    settings: Settings,
    resources: Resources,
    mesh: Mesh,
    progress: Progress,
) -> None:
    """Runs what is not done yet and writes each layer as it ends.

    Raises:
        UsageError: it takes more memory than `resources` has.
        NotFiniteError: NaN or infinity came up.
        InputOutputError: the operating system refuses.
    """
    layers = settings.last_layer + 1
    if len(record.done_layers) < layers:
        done = (record.manifest["passes"] or [0])[-1]
        steps: dict[Kind, Step] = {}
        total = int(windows.lengths[done:].sum()) * layers
        progress.start(total, "tokens x layers", "tokens")
        for part in cut_passes(windows, done, settings, resources, mesh):
            _run_pass(record, model, part, settings, resources, progress, steps)
    if record.manifest["passes"][-1:] != [len(windows.tokens)]:
        record.finish_pass(len(windows.tokens))


def check_resources(
    model: reading.Store,
    windows: Windows,
    settings: Settings,
    resources: Resources,
    mesh: Mesh,
) -> memory_plan.Plan:
    """Looks whether what the study may use will do, for the first pass, which none is larger than; gives its plan.

    Raises:
        UsageError: it takes more memory.
        InputOutputError: the spill directory is none, and cannot be made.
    """
    if resources.spill_directory is not None:
        with files.translated("write", resources.spill_directory):
            resources.spill_directory.mkdir(parents=True, exist_ok=True)
    first = next(cut_passes(windows, 0, settings, resources, mesh))
    return memory_plan.make_plan(
        model, first.windows, settings, resources, first.spread
    )


def cut_passes(
    windows: Windows, done: int, settings: Settings, resources: Resources, mesh: Mesh
) -> Iterator[Pass]:
    """The passes over the windows from `done` on; each is whole batches, at least one."""
    number = len(windows.tokens)
    at_once = mesh.size * settings.windows_per_batch
    per_pass = number
    if resources.tokens_per_pass is not None:
        batches = resources.tokens_per_pass // (at_once * settings.window)
        per_pass = at_once * max(1, batches)
    for first in range(done, number, per_pass):
        chosen = slice(first, first + per_pass)
        some = windows._replace(
            tokens=windows.tokens[chosen],
            lengths=windows.lengths[chosen],
            domains=windows.domains[chosen],
        )
        spread = Spread(len(some.tokens), settings.windows_per_batch, mesh)
        yield Pass(some, spread, first, number)


def make_reduction(
    config: Config,
    windows: Windows,
    spread: Spread,
    ngram_bytes: int | None = None,
) -> reductions.Reduction:
    """All that a study counts, as one reduction; `ngram_bytes` of each device's memory count n-grams, None none."""
    domains = len(windows.names)
    length = windows.tokens.shape[1]
    additive = (
        reductions.activation_counts(domains, config.ffn_dim),
        reductions.position_counts(domains, length, config.ffn_dim),
    )
    if ngram_bytes is None:
        return reductions.chain(*additive)
    return reductions.chain(
        *additive,
        ngram_coverage.ngram_coverage(
            windows.tokens,
            windows.lengths,
            config.special_tokens,
            config.ffn_dim,
            spread=spread,
            memory_bytes=ngram_bytes,
        ),
    )


def layer_preactivation_bounds(
    config: Config, params: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a layer's pre-activations, float64[F] each, from its stored parameters."""
    before = config.do_layer_norm_before
    norm = params.get(
        "feed_forward_layer_norm" if before else "attention_layer_norm", {}
    )
    fc1 = params["feed_forward"]["fc1"]
    return activation.preactivation_bounds(
        fc1["kernel"],
        fc1.get("bias", np.zeros(config.ffn_dim)),
        norm.get("scale", np.ones(config.hidden_size)),
        norm.get("bias", np.zeros(config.hidden_size)),
    )


def spill_folder(record: study.Study, resources: Resources) -> pathlib.Path:
    """Where the study's hidden states are written: its own folder, or one in the spill directory."""
    if resources.spill_directory is None:
        return record.partial
    name = hashlib.sha256(str(record.path).encode()).hexdigest()[:16]
    return resources.spill_directory.absolute() / f"{name}{files.PARTIAL}"


def _run_pass(
    record: study.Study,
    model: reading.Store,
    part: Pass,
    settings: Settings,
    resources: Resources,
    progress: Progress,
    steps: dict[Kind, Step],
) -> None:
    spread = part.spread
    plan = memory_plan.make_plan(model, part.windows, settings, resources, spread)
    config = model.config
    reduction = make_reduction(config, part.windows, spread, plan.ngram_bytes)
    batches = loop.make_batches(part.windows, config, spread)
    tokens = [int(np.asarray(batch.valid).sum()) for batch in batches]
    every = resources.checkpoint_every if part.is_whole else 0
    if plan.hidden_states == "disk":
        # The copy of a layer is where the next one reads from.
        every = min(1, every)
    folder = spill_folder(record, resources)
    with _checkpoint(folder, config, settings, spread, every) as checkpoint:
        residual = _hidden_states(plan.hidden_states, checkpoint, len(batches))
        start = _resume_point(record, checkpoint, spread.parts) if part.is_whole else 0
        for result in loop.run_layers(
            model,
            batches,
            reduction,
            settings.dtype,
            range(start, settings.last_layer + 1),
            residual,
            lambda index: progress.advance(tokens[index]),
            steps,
            settings.first_layer,
        ):
            if result.layer not in record.done_layers:
                _keep(record, config, part, result, reduction, plan.hidden_states)
                progress.log_line(_line(result, settings, part, sum(tokens)))
            progress.describe(f"{result.layer + 1} of {settings.last_layer + 1} layers")
            # Or it would be held while the next layer is read and counted.
            del result
    if not part.is_last:
        record.finish_pass(part.stop)
        contents.remove_counts(record, but=part.stop)


@contextlib.contextmanager
def _checkpoint(
    folder: pathlib.Path,
    config: Config,
    settings: Settings,
    spread: Spread,
    every: int,
) -> Iterator[hidden.Checkpoint]:
    with files.translated("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    shape = (spread.windows_at_once, settings.window, config.hidden_size)
    dtype = np.dtype(jax.numpy.dtype(settings.dtype))
    sharding = devices.sharded(spread.mesh)
    with hidden.Checkpoint(folder, shape, dtype, every, sharding) as checkpoint:
        yield checkpoint


def _hidden_states(
    place: str, checkpoint: hidden.Checkpoint, batches: int
) -> hidden.HiddenStates:
    """Where hidden states are kept, by what `memory_plan.Plan.hidden_states` calls it."""
    if place == "disk":
        return hidden.OnDisk(checkpoint, batches)
    if place == "host":
        return hidden.OnHost(checkpoint, batches)
    return hidden.InMemory(checkpoint)


def _resume_point(
    record: study.Study, checkpoint: hidden.Checkpoint, parts: int
) -> int:
    """The layer to start at: that after the copy of the residual stream, or 0 without a whole one."""
    saved = record.manifest.get("resume_from")
    if saved is None or len(saved["checksums"]) != parts:
        return 0
    whole = checkpoint.holds(saved["layer"], saved["checksums"])
    return saved["layer"] + 1 if whole else 0


def _keep(
    record: study.Study,
    config: Config,
    part: Pass,
    result: loop.LayerResult,
    reduction: reductions.Reduction,
    hidden_states: str,
) -> None:
    """Adds what a pass found in a layer to the passes before, and with the last one writes the layer."""
    layer = result.layer
    asked = layer in record.asked_layers
    sums = reduction.finalize(result.state) if asked else {}
    sums |= {name: np.asarray(getattr(result, name)) for name in TIMES}
    if part.first:
        before = contents.read_counts(record, layer, part.first)
        sums = {name: sums[name] + before[name] for name in sums}
    if not part.is_last:
        contents.save_counts(record, layer, part.stop, sums)
        return
    times = {name: round(float(sums.pop(name)), 3) for name in TIMES}
    if asked:
        _write_layer(record, config, result, sums)
    entry = {"layer": layer, **times, "hidden_states": hidden_states}
    # Without those of parts that only fill the last batch up.
    record.finish_layer(entry, result.checksums[: part.spread.parts])


def _write_layer(
    record: study.Study,
    config: Config,
    result: loop.LayerResult,
    found: dict[str, Any],
) -> None:
    low, high = layer_preactivation_bounds(config, result.params)
    found |= {"min_preactivation": low, "max_preactivation": high}
    pieces = found.pop("candidates", None)
    for name, data in found.items():
        record.write_layer(name, result.layer, data)
    if pieces is not None:
        candidates.save(record, result.layer, pieces)


def _line(result: loop.LayerResult, settings: Settings, part: Pass, tokens: int) -> str:
    """What the log says of a layer."""
    windows = "" if part.is_whole else f", windows to {part.stop} of {part.of}"
    return (
        f"layer {result.layer} of {settings.last_layer + 1}{windows}: "
        f"{result.seconds:.2f} s, {tokens / result.seconds:.0f} tokens/s, "
        f"{result.wait_seconds:.2f} s waiting for weights"
    )
