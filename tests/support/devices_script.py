"""Studies on several devices: what devices_test runs in a process of its own, since their number is fixed when JAX starts.

In: a folder with `store` and `text.jsonl`. Out: what each study came to, by name, as JSON on standard output.
"""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from jaxneurons import devices
from jaxneurons.counting import ngram_coverage, reductions
from jaxneurons.model import block
from jaxneurons.run import models
from jaxneurons.run.resources import Resources
from jaxneurons.store import reading
from jaxneurons.stream import hidden, loop, step
from jaxneurons.studies import candidates, opening
from jaxneurons.text.corpus import Windows
from tests.support import mask_oracle, studies

CHOSEN = {"window": 16, "windows_per_batch": 2}
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute")


def run_study(folder, name, number, **more):
    """A study on the first `number` devices, one of its own or the rest of an unfinished one: what it wrote."""
    studies.run_study(
        folder / name,
        folder / "store",
        [("text", folder / "text.jsonl")],
        resources=Resources(devices=number, checkpoint_minutes=0),
        **(CHOSEN | more),
    )
    return studies.digests(folder / name)


def resume_on_others(folder, name, first, then):
    """A study that began on `first` devices and goes on, from its copy, on `then`."""
    with pytest.raises(studies.Stop):
        run_study(folder, name, first, progress=studies.StopAfter(1))
    found = run_study(folder, name, then)
    assert studies.logged_layers(folder / name) == [0, 1, 2]
    return found


def check_by_brute_force(folder):
    """All devices, as is the default, against a dictionary for each neuron; gives what was written."""
    record, masks = mask_oracle.run_with_masks(
        folder / "all", folder / "store", [("text", folder / "text.jsonl")], **CHOSEN
    )
    mask_oracle.assert_counts(record, masks)
    mask_oracle.assert_ngrams(record, masks, range(0, masks[0].shape[2], 7))
    return studies.digests(folder / "all")


def check_what_passes_between_devices(folder):
    """Nothing while the block runs; each device's masks, once, at a layer's end."""
    model, windows = read(folder)
    config = model.config
    spread = devices.spread(len(windows.tokens), 2)
    batch = loop.make_batches(windows, config, spread)[0]
    everywhere = devices.replicated(spread.mesh)
    embedding = jax.device_put(model.read_embed(), everywhere)
    params = jax.device_put(model.read_layer(0), everywhere)
    x = loop.embed_tokens(config, embedding, batch.tokens, "float32")
    coverage = make_coverage(windows, config, spread)
    embed = loop.embed_tokens.lower(config, embedding, batch.tokens, "float32")
    states = step.init_states(coverage.init, spread.mesh)
    lowered = step.step.lower(
        block.Block(config), coverage.update, spread.mesh, params, x, states, batch
    )
    merge = coverage.merge.lower(states).compile().as_text()
    for text in (embed.compile().as_text(), lowered.compile().as_text()):
        assert not any(name in text for name in COLLECTIVES)
    assert [name in merge for name in COLLECTIVES] == [False, False, True, False]


def check_own_statistic_and_small_blocks(folder):
    """A statistic of which nobody said how its states are merged, and masks counted a word at a time."""
    model, windows = read(folder)
    spread = devices.spread(len(windows.tokens), 2, number=3)
    reduction = reductions.chain(
        co_activation(model.config.ffn_dim),
        make_coverage(windows, model.config, spread, memory_bytes=1),
    )
    batches = loop.make_batches(windows, model.config, spread)
    (result,) = loop.run_layers(model, batches, reduction, range(1), hidden.InMemory())
    found = ngram_coverage.join_candidates(result.found)
    record = opening.open_any(folder / "all")
    for name in ("ngram_coverage", "ngram_activation_count"):
        np.testing.assert_array_equal(found[name], record.read_layer(name, 0))
    mine = record.read("candidate_2_layer") == 0
    for field in candidates.FIELDS[1:]:
        stored = record.read(f"candidate_2_{field}")[mine]
        np.testing.assert_array_equal(found[f"candidate_2_{field}"], stored)
    together = found["co_activation"].diagonal()
    wanted = record.read_layer("activation_count", 0).sum(axis=0)
    np.testing.assert_array_equal(together, wanted)


def check_ablation(folder):
    """The same losses on any number of devices, neurons' means too."""
    model = models.Model("model", reading.open_store(folder / "store"))
    _, windows = read(folder)
    one, *others = [
        jaxneurons.ablate(
            model,
            windows,
            [(0, 3), (2, 7), (2, 8)],
            mode="mean",
            controls=1,
            windows_per_batch=2,
            resources=Resources(devices=number),
        )
        for number in (1, 3, 8)
    ]
    assert all(other == one for other in others)


def co_activation(neurons):
    def update(state, activation, batch):
        active = reductions.active(activation) & batch.valid[..., None]
        counted = active.astype(jnp.int32)
        return state + jnp.einsum("btf,btg->fg", counted, counted)

    return reductions.Reduction(
        init=lambda: jnp.zeros((neurons, neurons), jnp.int32),
        update=update,
        finalize=lambda state: {"co_activation": np.asarray(state)},
    )


def make_coverage(windows, config, spread, **chosen):
    return ngram_coverage.ngram_coverage(
        windows.tokens,
        windows.lengths,
        config.special_tokens,
        config.ffn_dim,
        spread=spread,
        **chosen,
    )


def read(folder):
    """The model, and the windows of a study of it."""
    record = opening.open_any(folder / "all")
    arrays = map(record.read, ("tokens", "window_length", "window_domain"))
    return reading.open_store(folder / "store"), Windows(*arrays, ("text",), ("",))


def main(folder):
    assert jax.local_device_count() == 8
    found = {
        "all": check_by_brute_force(folder),
        "three then two": resume_on_others(folder, "fewer", 3, 2),
        "three then eight": resume_on_others(folder, "more", 3, 8),
    }
    check_what_passes_between_devices(folder)
    check_own_statistic_and_small_blocks(folder)
    check_ablation(folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
