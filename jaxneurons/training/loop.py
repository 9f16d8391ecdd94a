"""The loop over steps: a run and its data in; losses, checkpoints and a curve out, until all are done."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from jaxneurons import devices, errors, processes
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
from jaxneurons.disk import files
from jaxneurons.training import checkpoints, data, losses, step
from jaxneurons.training.recipe import Recipe
from jaxneurons.training.request import Cadence
from jaxneurons.training.run import Run


def run_steps(run: Run, cadence: Cadence, text: data.Data, progress: Progress) -> Run:
    """Does the steps that are left, and gives the finished run.

    Raises:
        DivergenceError: the loss or its gradient is not finite.
        CheckpointError: the checkpoint to continue from is damaged.
        InterruptedRunError: Ctrl-C or SIGTERM; the same call continues the run.
    """
    mesh = devices.make_mesh()
    asked, begun = cadence.keep, run
    run = processes.from_first(lambda: begun.keeping(asked))
    cadence = dataclasses.replace(cadence, keep=run.keep)
    steps = run.identity.recipe.steps
    with (
        # Outermost: the checkpoint that is being saved counts when the error says where to continue.
        _resumable(run),
        checkpoints.Writer(run.checkpoints, run.identity.digest(), run.keep) as writer,
        progress,
    ):
        writes = processes.is_first()
        if writes:
            progress.keep_log(run.path / "train.log")
        saved = processes.from_first(run.saved_steps)
        log = _Log(run, progress, done=saved[-1] if saved else 0)
        for state, line in _states(run, cadence, text, mesh):
            done = int(line["step"])
            log.show(line)
            if writes and cadence.logs(done, steps):
                log.write(line)
            if writes and cadence.validates(done, steps):
                save_curve(run)
            if cadence.saves(done, steps) and done not in saved:
                writer.save(done, state._asdict())
    return processes.from_first(dataclasses.replace(run, finished=True).write)


def validation_loss(
    config: Config,
    recipe: Recipe,
    mesh: Mesh,
    state: step.State,
    validation: np.ndarray,
) -> float:
    """Mean cross-entropy of the targets of windows int32[N, T + 1], in nats, with nothing dropped."""
    size = recipe.windows_per_step // recipe.accumulation
    found = []
    for windows, count in data.padded_batches(validation, size):
        placed = step.put_windows(mesh, windows, 1)
        batch = step.held_out_losses(config, recipe, state.parameters, placed)
        found.append(devices.whole(batch)[:count])
    return float(np.concatenate(found).mean(dtype=np.float64))


def save_curve(run: Run) -> None:
    """Draws loss.png from loss.jsonl."""
    # Matplotlib takes half a second to import.
    from jaxneurons.figures import style
    from jaxneurons.figures import training as training_figures

    curve = {"losses": losses.read(run.losses), "baselines": run.baselines}
    figure = training_figures.loss_curves({run.path.name: curve})
    files.write_atomically(run.path / "loss.png", style.render(figure, "png"))


def _states(
    run: Run, cadence: Cadence, text: data.Data, mesh: Mesh
) -> Iterator[tuple[step.State, losses.Line]]:
    """The state after every update that is left, before the first one too, and what was measured.

    Taking the next state donates the one before.
    """
    config, recipe = run.identity.model, run.identity.recipe
    tokens = _tokens_per_step(run)

    def windows_after(done: int) -> jax.Array:
        size = recipe.windows_per_step
        batch = data.batch(text.training, recipe.seed, done, size)
        return step.put_windows(mesh, batch, recipe.accumulation)

    state = _continue_or_begin(run, mesh)
    first = int(state.step)
    if first == 0:
        loss = validation_loss(config, recipe, mesh, state, text.validation)
        yield state, {"step": 0, "tokens": 0, "validation_loss": loss}
    windows = windows_after(first)
    for done in range(first + 1, recipe.steps + 1):
        state, metrics = step.update(config, recipe, mesh, state, windows)
        # While the devices compute.
        windows = windows_after(done)
        line: losses.Line = {"step": done, "tokens": done * tokens}
        line |= {name: float(value) for name, value in metrics._asdict().items()}
        if cadence.validates(done, recipe.steps):
            loss = validation_loss(config, recipe, mesh, state, text.validation)
            line["validation_loss"] = loss
        _check_finite(run, line)
        yield state, line


def _continue_or_begin(run: Run, mesh: Mesh) -> step.State:
    """The state of the last checkpoint, or of step 0; lines of later steps go from loss.jsonl."""
    config, recipe = run.identity.model, run.identity.recipe
    saved = processes.from_first(run.saved_steps)
    last = saved[-1] if saved else 0
    if processes.is_first():
        # Step 0 writes its line again.
        losses.drop_after(run.losses, last or -1)
    if not saved:
        return step.initial_state(config, recipe, mesh)
    items = step.abstract_state(config, recipe, mesh)._asdict()
    digest = run.identity.digest()
    return step.State(**checkpoints.load(run.checkpoints, digest, last, items))


def _check_finite(run: Run, line: losses.Line) -> None:
    broken = [
        f"{name} {value}" for name, value in line.items() if not math.isfinite(value)
    ]
    if broken:
        raise errors.DivergenceError(
            f"{run.path}: training diverged at step {line['step']}: {', '.join(broken)}. "
            "Checkpoints of steps before are as they were. Try a lower learning rate in a new "
            "directory."
        )


class _Log:
    """Shows losses as they come, and writes lines of them, with the speed since the last one."""

    def __init__(self, run: Run, progress: Progress, done: int):
        self._run = run
        self._progress = progress
        self._steps = run.identity.recipe.steps
        self._tokens_per_step = _tokens_per_step(run)
        self._last_line: tuple[float, float] | None = None
        left = (self._steps - done) * self._tokens_per_step
        progress.start(left, "training", "tokens")

    def show(self, line: losses.Line) -> None:
        """Moves the bar on by an update."""
        if "loss" in line:
            self._progress.advance(self._tokens_per_step)
            self._progress.describe(f"step {line['step']}, loss {line['loss']:.3f}")

    def write(self, line: losses.Line) -> None:
        """Writes the line to loss.jsonl and the log."""
        losses.append(self._run.losses, line)
        parts = [f"step {line['step']} of {self._steps}"]
        for name, key in (("loss", "loss"), ("validation", "validation_loss")):
            if key in line:
                parts.append(f"{name} {line[key]:.4f}")
        now = time.perf_counter()
        if self._last_line is not None:
            tokens, since = self._last_line
            parts.append(f"{(line['tokens'] - tokens) / (now - since):.0f} tokens/s")
        # The time before the first update's line is mostly that of compiling.
        self._last_line = (line["tokens"], now) if "loss" in line else None
        self._progress.log_line(", ".join(parts))


def _tokens_per_step(run: Run) -> int:
    """B T, targets per update."""
    model = run.identity.model
    return run.identity.recipe.windows_per_step * model.max_position_embeddings


@contextlib.contextmanager
def _resumable(run: Run) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        saved = run.saved_steps()
        last = saved[-1] if saved else 0
        raise errors.InterruptedRunError(
            f"{run.path}: interrupted; the last checkpoint is of step {last}"
        ) from None
