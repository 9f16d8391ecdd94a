"""One forward pass over all text, with some neurons taken out or none: a job and an edit in, sums of losses out.

Text whose hidden states do not fit in memory goes through the model in several parts.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np

from jaxneurons import devices, errors
from jaxneurons.ablation import activity, edits, head, triggers
from jaxneurons.command.progress import Progress
from jaxneurons.counting.reductions import Batch, Reduction
from jaxneurons.run import memory_plan, passes
from jaxneurons.run.job import Job
from jaxneurons.stream import hidden, loop
from jaxneurons.stream.step import Parameters


@dataclasses.dataclass
class Measured:
    """What a pass came to.

    Attributes:
        loss: float64[domain, T - 1], sum of the losses of predictions at each position.
        predictions: int64[domain, T - 1], their number: of tokens that are text.
        triggers: sums over the occurrences of triggers.
        activation_count: int64[F] by layer.
        activation_sum: float64[F] by layer.
        tokens: tokens that are not padding.
    """

    loss: np.ndarray
    predictions: np.ndarray
    triggers: triggers.Sums
    activation_count: dict[int, np.ndarray]
    activation_sum: dict[int, np.ndarray]
    tokens: int = 0

    def means(self) -> dict[int, np.ndarray]:
        """The mean value of every neuron over all tokens, float32[F] by layer."""
        return {
            layer: (total / self.tokens).astype(np.float32)
            for layer, total in self.activation_sum.items()
        }


class Passes:
    """Runs the same text time and again.

    Args:
        job: model, text and what may be used.
        watched: the triggers of token detectors.
        progress: whose bar moves on by a token and layer each.
    """

    def __init__(self, job: Job, watched: triggers.Triggers, progress: Progress):
        self._job = fitting(job)
        self._watched = watched
        self._progress = progress
        first = next(self._job.passes(0)).spread
        # One for all passes, or JAX would compile the step for each; and the same with neurons taken out as
        # without: another program might round in another way.
        self._reduction = activity.activity(
            first.windows_padded // first.windows_per_part,
            first.windows_per_part,
            job.model.config.ffn_dim,
        )

    def run(self, edit: edits.Edit = edits.unchanged) -> Measured:
        """Measures the model with an edit.

        Raises:
            NotFiniteError: NaN or infinity came up.
        """
        text, config = self._job.windows, self._job.model.config
        shape = (len(text.names), text.tokens.shape[1] - 1)
        layers = range(config.num_hidden_layers)
        measured = Measured(
            np.zeros(shape),
            np.zeros(shape, np.int64),
            triggers.Sums(self._watched),
            {layer: np.zeros(config.ffn_dim, np.int64) for layer in layers},
            {layer: np.zeros(config.ffn_dim) for layer in layers},
        )
        for part in self._job.passes(0):
            _run_part(part, self._reduction, edit, measured, self._progress)
        return measured


def fitting(job: Job) -> Job:
    """The job with as much text at a time as the devices hold the hidden states of.

    Raises:
        UsageError: a batch is too much.
    """
    config, window = job.model.config, job.settings.window
    budget = memory_plan.budgets(job.resources)
    logits = head.logits_bytes(config, window)
    if jax.default_backend() == "cpu":
        logits *= job.spread.own_devices
    number = job.resources.tokens_per_pass or job.spread.windows_padded * window
    while True:
        resources = dataclasses.replace(
            job.resources,
            tokens_per_pass=number,
            device_memory_bytes=max(0, budget.device - logits),
            host_memory_bytes=budget.host,
        )
        part = next(job._replace(resources=resources).passes(0))
        place = passes.make_plan(part).hidden_states
        if place in ("memory", "device") or part.spread.batches == 1:
            return job._replace(resources=resources)
        number = max(1, number // 2)


def _run_part(
    job: Job,
    reduction: Reduction,
    edit: edits.Edit,
    measured: Measured,
    progress: Progress,
) -> None:
    """Runs a part of the text and adds what it comes to."""
    config = job.model.config
    batches = loop.make_batches(job.text, config, job.spread, job.first)
    tokens = loop.batch_tokens(job.text, job.spread)
    embedding = devices.put(job.model.read_embed(), devices.replicated(job.mesh))
    residual = _Watched(job, batches, embedding, measured.triggers)
    for result in loop.run_layers(
        job.model,
        batches,
        reduction,
        range(config.num_hidden_layers),
        hidden.Reporting(residual, lambda index: progress.advance(tokens[index])),
        job.settings.dtype,
        job.settings.precision,
        edit,
    ):
        for name, found in result.found.items():
            getattr(measured, name)[result.layer] += found
    for index, batch in enumerate(batches):
        x = residual.take(config.num_hidden_layers, index)
        predicted = head.predict(config, embedding, x, batch.tokens)
        _add(measured, batch, predicted)
    measured.tokens += sum(tokens)


def _add(measured: Measured, batch: Batch, predicted: head.Predictions) -> None:
    """Adds a batch, window by window: so the sums do not depend on how many devices share it."""
    tokens, valid, special, domain = map(
        devices.whole, (batch.tokens, batch.valid, batch.special, batch.domain)
    )
    counted = (valid & ~special)[:, 1:]
    loss = np.where(counted, predicted.loss[:, :-1], 0)
    if not math.isfinite(loss.sum(dtype=np.float64)):
        raise errors.NotFiniteError(
            "a loss is NaN or infinite. Compute in float32 or bfloat16, which reach further than float16."
        )
    np.add.at(measured.loss, domain, loss)
    np.add.at(measured.predictions, domain, counted)
    measured.triggers.add_predictions(tokens, valid, predicted.logit, predicted.rank)


class _Watched(hidden.InMemory):
    """The residual stream in memory, looked at after the layers of token detectors."""

    def __init__(
        self,
        job: Job,
        batches: Sequence[Batch],
        embedding: Parameters,
        sums: triggers.Sums,
    ):
        super().__init__()
        self._config = job.model.config
        self._batches_of_text = batches
        self._embedding = embedding
        self._sums = sums

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        if layer in self._sums.layers:
            text = self._batches_of_text[batch]
            found = head.cosines(self._config, self._embedding, x, text.tokens)
            tokens, valid = map(devices.whole, (text.tokens, text.valid))
            self._sums.add_cosines(layer, tokens, valid, found)
        super().put(layer, batch, x)
