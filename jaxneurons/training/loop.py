"""The loop over steps: a run's record and its data in; losses, checkpoints and a curve out, until all steps are done."""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from jaxneurons import errors
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
from jaxneurons.disk import files
from jaxneurons.figures import style
from jaxneurons.figures import training as training_figures
from jaxneurons.training import checkpoints, data, step
from jaxneurons.training.recipe import Recipe
from jaxneurons.training.record import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cadence:
    """How often what is written; decides no number.

    Attributes:
        log_every: steps between lines of loss.jsonl.
        validate_every: steps between looks at the held-out windows.
        checkpoint_every: steps between checkpoints, of which the last two stay.
        keep: steps whose checkpoints stay forever; 0 is the model before training.
    """

    log_every: int = 10
    validate_every: int = 100
    checkpoint_every: int = 100
    keep: tuple[int, ...] = ()

    def __post_init__(self):
        for name in ("log_every", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise errors.UsageError(
                    f"{name} is {getattr(self, name)}, wanted at least 1"
                )

    def validates(self, done: int, steps: int) -> bool:
        """Whether the held-out windows are looked at after update `done` of so many steps."""
        return done == steps or done % self.validate_every == 0

    def saves(self, done: int, steps: int) -> bool:
        """Whether a checkpoint is written after update `done` of so many steps."""
        due = done % self.checkpoint_every == 0 or done in self.keep
        return done == steps or due

    def check_keep(self, steps: int) -> None:
        """Raises UsageError if a step to keep never comes."""
        never = [kept for kept in self.keep if not 0 <= kept <= steps]
        if never:
            raise errors.UsageError(f"keep {never}: wanted steps from 0 to {steps}")


class _Reporter:
    """Takes the metrics of updates and writes those that are due, one update late.

    Waiting for an update's numbers only when the next one is under way keeps the device busy.
    """

    def __init__(
        self, record: Record, recipe: Recipe, cadence: Cadence, progress: Progress
    ):
        self._record = record
        self._recipe = recipe
        self._cadence = cadence
        self._progress = progress
        self._tokens = tokens_per_step(record.config, recipe)
        self._waiting: tuple[int, step.Metrics] | None = None
        # Tokens and time of the last line.
        self._last_line = (0.0, time.perf_counter())

    def updated(self, done: int, metrics: step.Metrics) -> None:
        """Takes the metrics of update number `done` and reports the one before."""
        self.report()
        self._waiting = done, metrics

    def report(self, validation_loss: float | None = None) -> None:
        """Waits for the last update's metrics; writes a line if it is due or there is a loss to add.

        Raises:
            DivergenceError: one of them, or the loss to add, is no number.
        """
        if self._waiting is None:
            return
        done, metrics = self._waiting
        self._waiting = None
        numbers = {name: float(value) for name, value in metrics._asdict().items()}
        if validation_loss is not None:
            numbers["validation_loss"] = validation_loss
        self._check_finite(done, numbers)
        self._progress.advance(self._tokens)
        self._progress.describe(f"step {done}, loss {numbers['loss']:.3f}")
        line = {"step": done, "tokens": done * self._tokens, **numbers}
        last = done == self._recipe.steps
        if validation_loss is not None or done % self._cadence.log_every == 0 or last:
            self.write(line)

    def _check_finite(self, done: int, numbers: Mapping[str, float]) -> None:
        broken = [
            f"{name} {value}"
            for name, value in numbers.items()
            if not math.isfinite(value)
        ]
        if not broken:
            return
        saved = self._record.saved_steps()
        last = f"that of step {saved[-1]}" if saved else "none"
        raise errors.DivergenceError(
            f"{self._record.path}: diverged at step {done}: {', '.join(broken)}; the last "
            f"checkpoint is {last}, try a lower learning rate in a new directory"
        )

    def write(self, line: Mapping[str, float]) -> None:
        """Writes a line to loss.jsonl and, with the speed since the last one, to the log."""
        self._record.write_losses(line)
        before, since = self._last_line
        now = time.perf_counter()
        speed = (line["tokens"] - before) / (now - since)
        self._last_line = line["tokens"], now
        losses = ", ".join(
            f"{name} {line[key]:.4f}"
            for name, key in (("loss", "loss"), ("validation", "validation_loss"))
            if key in line
        )
        # The first line's time is mostly that of compiling.
        speed_text = f", {speed:.0f} tokens/s" if before else ""
        self._progress.log_line(
            f"step {line['step']} of {self._recipe.steps}: {losses}{speed_text}"
        )


def run_steps(
    record: Record, recipe: Recipe, cadence: Cadence, text: data.Data
) -> None:
    """Does the steps that are left.

    Raises:
        DivergenceError: the loss or its gradient is no number.
        CheckpointError: the checkpoint to go on from is damaged.
        InterruptedRunError: Ctrl-C or SIGTERM; the same call goes on.
    """
    config = record.config
    mesh = step.make_mesh(recipe)
    cadence = dataclasses.replace(cadence, keep=record.add_keep(cadence.keep))
    with (
        # Outermost: the checkpoint that is being saved counts when it says where to go on.
        _interruptible(record),
        checkpoints.Writer(record.checkpoints_path, record.run, cadence.keep) as saved,
        Progress() as progress,
    ):
        progress.keep_log(record.path / "train.log")
        reporter = _Reporter(record, recipe, cadence, progress)
        state = _resume_or_begin(record, recipe, mesh)
        first = int(state.step)
        tokens = (recipe.steps - first) * tokens_per_step(config, recipe)
        progress.start(tokens, "training", "tokens")
        look = functools.partial(
            validation_loss, config, recipe, mesh, validation=text.validation
        )
        if first == 0:
            reporter.write({"step": 0, "tokens": 0, "validation_loss": look(state)})
            if 0 in cadence.keep and not record.saved_steps():
                saved.save(0, state._asdict())
        for done in range(first + 1, recipe.steps + 1):
            windows = _windows(text, recipe, mesh, done)
            state, metrics = step.update(config, recipe, mesh, state, windows)
            reporter.updated(done, metrics)
            if cadence.validates(done, recipe.steps):
                reporter.report(look(state))
                save_curve(record)
            if cadence.saves(done, recipe.steps):
                reporter.report()
                saved.save(done, state._asdict())
    record.finish()


def _windows(text: data.Data, recipe: Recipe, mesh: Mesh, done: int) -> jax.Array:
    """What update number `done`, from 1 on, learns from, on the devices."""
    batch = data.batch(text.training, recipe.seed, done - 1, recipe.windows_per_step)
    return step.put_windows(mesh, batch, recipe.accumulation)


def validation_loss(
    config: Config,
    recipe: Recipe,
    mesh: Mesh,
    state: step.State,
    validation: np.ndarray,
) -> float:
    """Mean cross-entropy of the targets of windows int32[N, T + 1], in nats, with nothing dropped."""
    size = recipe.windows_per_step // recipe.accumulation
    losses = []
    for windows, count in data.padded_batches(validation, size):
        placed = step.put_windows(mesh, windows, 1)
        found = step.held_out_losses(config, recipe, state.parameters, placed)
        losses.append(np.asarray(found)[:count])
    return float(np.concatenate(losses).mean(dtype=np.float64))


def tokens_per_step(config: Config, recipe: Recipe) -> int:
    """B T, targets of an update."""
    return recipe.windows_per_step * config.max_position_embeddings


def save_curve(record: Record) -> None:
    """Draws loss.png from loss.jsonl."""
    curve = {"losses": record.read_losses(), "baselines": record.entries["baselines"]}
    figure = training_figures.loss_curves({record.path.name: curve})
    files.write_atomically(record.path / "loss.png", style.render(figure, "png"))


def abstract_state(config: Config, recipe: Recipe, mesh: Mesh) -> step.State:
    """Shapes, types and places of a run's state."""
    shapes = jax.eval_shape(lambda: step.initial_state(config, recipe, mesh))
    everywhere = step.replicated(mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere),
        shapes,
    )


def _resume_or_begin(record: Record, recipe: Recipe, mesh: Mesh) -> step.State:
    """The state of the last checkpoint, or of step 0; lines of later steps go from loss.jsonl."""
    saved = record.saved_steps()
    last = saved[-1] if saved else 0
    # Step 0 writes its line again.
    record.drop_losses_after(last or -1)
    if not saved:
        return step.initial_state(record.config, recipe, mesh)
    wanted = abstract_state(record.config, recipe, mesh)
    return step.State(
        **checkpoints.load(record.checkpoints_path, record.run, last, wanted._asdict())
    )


@contextlib.contextmanager
def _interruptible(record: Record) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        saved = record.saved_steps()
        raise errors.InterruptedRunError(
            f"{record.path}: interrupted; the same command goes on from step "
            f"{saved[-1] if saved else 0}"
        ) from None
