"""What a model loses without some of its neurons: model, text and neurons in; losses beside those of controls out.

The paper reads the role of a neuron off what it writes (§4.4); this takes the neuron out and looks.
"""

import dataclasses
import numbers
from typing import Any

import numpy as np

from jaxneurons import devices, errors, processes
from jaxneurons.ablation import controls as matched
from jaxneurons.ablation import edits, forward, neuron_sets, triggers
from jaxneurons.ablation.forward import Measured
from jaxneurons.ablation.result import OVERALL, Ablation, Losses
from jaxneurons.command import agreement
from jaxneurons.command.progress import Progress
from jaxneurons.disk import arrays
from jaxneurons.run import announcement, job, settings
from jaxneurons.run.models import Model, check_kinds
from jaxneurons.run.resources import Resources
from jaxneurons.text.windows import Windows


def ablate(
    model: Model,
    text: Windows,
    neurons: Any,
    *,
    mode: str = "zero",
    controls: int = 5,
    seed: int = 0,
    windows_per_batch: int | None = None,
    dtype: str = "auto",
    precision: str = "highest",
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> Ablation:
    """Takes neurons out of a model, all at once, and measures what its predictions lose.

    >>> found = jaxneurons.ablate(model, text, [(0, 12), (2, 7)], controls=2)
    >>> found.neurons, len(found.controls)
    (2, 2)
    >>> sorted(found.base)
    ['code_python', 'dm_mathematics', 'freelaw', 'overall', 'wikipedia']
    >>> change = found.ablated["overall"] - found.base["overall"]

    The text runs through the model once as it is, once without the neurons, and once without each control: as many
    neurons of the same layers, drawn at random among those that are active about as often.

    Args:
        model: as `open_model` gives it.
        text: as `load_text` gives it.
        neurons: pairs (layer, neuron), or a table with such columns, as `Results.neurons`,
            `Results.detectors` and `Results.positional` give them. What token detectors do to their
            triggers is measured where the table has their `triggers`.
        mode: "zero": the neurons write nothing; "mean": each always writes its mean value on this text
            times its row, by way of the bias.
        controls: draws of other neurons.
        seed: of the draws.
        windows_per_batch: windows that each device takes at a time; None is about 2,048 tokens,
            16,384 on accelerators.
        dtype: to compute in: "float32", "bfloat16", "float16", or "auto": float32 on a CPU, on
            accelerators the type that the weights are stored in.
        precision: of float32 products: "highest", or "tf32x3", "bf16x3" or "bf16x6", which a GPU
            multiplies faster; `config.PRECISIONS` explains them.
        resources: what may be used of the machine; None is the defaults of `Resources`. Nothing is
            written to disk: text whose hidden states do not fit in memory runs in parts.
        progress: what reports progress; None shows a bar on a terminal and in a notebook.

    Raises:
        MismatchError: two processes, which all make the same call, have something else to do.
        UsageError: a value has no meaning for the model, a neuron is none of the model's or named twice,
            there is none, or a model without biases is to write means.
        NotFiniteError: NaN or infinity came up.
    """
    check_kinds(model, text)
    chosen = neuron_sets.make_set(model.config, neurons)
    _check(model, text, mode, controls, seed)
    resolved = settings.resolve(
        model.config,
        window=text.tokens.shape[1],
        windows_per_batch=windows_per_batch,
        dtype=dtype,
        precision=precision,
        stored=model.store.dtype,
        ngrams=False,
        examples=0,
    )
    per_batch = min(resolved.windows_per_batch, len(text.tokens))
    resolved = dataclasses.replace(resolved, windows_per_batch=per_batch)
    resources = resources or Resources()
    mesh = devices.make_mesh(resources.devices)
    work = job.make_job(model.store, text, resolved, resources, mesh)
    if not processes.is_first():
        progress = Progress(shown=False)
    agreement.require_same(
        {
            "model": model.store.fingerprint,
            "tokens": arrays.digest(text.tokens),
            "neurons": arrays.digest(chosen.neurons),
            "settings": dataclasses.asdict(resolved),
            "draws": [mode, int(controls), int(seed)],
            "devices": mesh.size,
        }
    )
    with devices.unguarded(), progress or Progress() as shown:
        announcement.say_model(model.name, model.store, resolved, resources, shown)
        passes = forward.Passes(work, chosen.triggers, shown)
        total = int(text.lengths.sum()) * model.config.num_hidden_layers
        shown.start(total * (2 + controls), "tokens x layers", "tokens")
        base = passes.run()
        means = base.means() if mode == "mean" else None
        rng = np.random.default_rng(seed)
        drawn = [
            matched.draw(chosen.neurons, base.activation_count, rng)
            for _ in range(controls)
        ]
        # Where no other neuron is left there is nothing to compare with.
        drawn = [control for control in drawn if len(control)]
        ablated, *others = [
            passes.run(edits.ablating(each, means)) for each in (chosen.neurons, *drawn)
        ]
    how = (mode, resolved.arithmetic)
    return _result(model, text, chosen, how, base, ablated, drawn, others)


def _check(model: Model, text: Windows, mode: str, controls: int, seed: int) -> None:
    if mode not in edits.MODES:
        raise errors.UsageError(
            f"mode is {mode!r}. Choose one of {', '.join(edits.MODES)}."
        )
    if mode == "mean" and not model.config.enable_bias:
        raise errors.UsageError(
            f"{model.name} has no biases, which would write the means. Ablate in mode zero."
        )
    for name, value in (("controls", controls), ("seed", seed)):
        if not isinstance(value, numbers.Integral) or value < 0:
            raise errors.UsageError(
                f"{name} is {value!r}. Pass a whole number, at least 0."
            )
    valid = np.arange(text.tokens.shape[1])[None, :] < text.lengths[:, None]
    special = np.isin(text.tokens, model.config.special_tokens)
    if not (valid & ~special)[:, 1:].any():
        raise errors.UsageError(
            "the text has no token to predict. Pass windows of at least two tokens."
        )


def _result(
    model: Model,
    text: Windows,
    chosen: neuron_sets.NeuronSet,
    how: tuple[str, str],
    base: Measured,
    ablated: Measured,
    drawn: list[np.ndarray],
    controls: list[Measured],
) -> Ablation:
    names, (mode, dtype) = text.names, how
    return Ablation(
        model=model.name,
        layers=tuple(np.unique(chosen.neurons[:, 0]).tolist()),
        tokens=int(base.predictions.sum()),
        neurons=len(chosen.neurons),
        mode=mode,
        dtype=dtype,
        base=_by_domain(names, base),
        ablated=_by_domain(names, ablated),
        controls=[_by_domain(names, each) for each in controls],
        control_neurons=[len(each) for each in drawn],
        triggers=triggers.effects(
            base.triggers, ablated.triggers, [each.triggers for each in controls]
        ),
        positions={
            "base": _by_position(base),
            "ablated": _by_position(ablated),
            "controls": [_by_position(each) for each in controls],
        },
    )


def _by_domain(names: tuple[str, ...], measured: Measured) -> Losses:
    """Nats per token, of all tokens and of those of each domain that has any."""
    total, number = measured.loss.sum(axis=1), measured.predictions.sum(axis=1)
    losses = {OVERALL: float(total.sum() / number.sum())}
    for index in np.flatnonzero(number):
        losses[_key(names, int(index))] = float(total[index] / number[index])
    return losses


def _key(names: tuple[str, ...], index: int) -> str:
    """The name of a domain, which is told apart from all domains together and from the others."""
    name = names[index]
    while name == OVERALL or name in names[:index] + names[index + 1 :]:
        name += " (domain)"
    return name


def _by_position(measured: Measured) -> list[float | None]:
    """Nats per token by the position that predicts it, over all domains; None where none does."""
    pairs = zip(
        measured.loss.sum(axis=0), measured.predictions.sum(axis=0), strict=True
    )
    return [float(total / number) if number else None for total, number in pairs]
