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

from jaxneurons import devices
from jaxneurons.counting import ngram_coverage, reductions
from jaxneurons.run.resources import Resources
from jaxneurons.store import reading
from jaxneurons.stream import hidden, loop, step
from jaxneurons.studies import candidates, directory, opening
from jaxneurons.text.corpus import Windows
from tests.run import run_test
from tests.support import mask_oracle, studies

CHOSEN = {"window": 16, "windows_per_batch": 2}
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute")


def run_study(folder, name, number):
    """A study on the first `number` devices, one of its own or the rest of an unfinished one: what it wrote."""
    studies.run_study(
        folder / name,
        folder / "store",
        [("text", folder / "text.jsonl")],
        resources=Resources(devices=number),
        **CHOSEN,
    )
    return run_test.digests(folder / name)


def stop_after_the_first_layer(folder, name, number):
    finish_layer = directory.Study.finish_layer

    def finish_and_stop(self, entry, checksums):
        finish_layer(self, entry, checksums)
        raise run_test.Stop

    with pytest.MonkeyPatch.context() as patch, pytest.raises(run_test.Stop):
        patch.setattr(directory.Study, "finish_layer", finish_and_stop)
        run_study(folder, name, number)


def resume_on_others(folder, name, first, then):
    """A study that began on `first` devices and goes on, from its copy, on `then`."""
    stop_after_the_first_layer(folder, name, first)
    with pytest.MonkeyPatch.context() as patch:
        # What is read from the copy is not embedded again.
        patch.setattr(loop, "embed_batch", None)
        return run_study(folder, name, then)


def check_by_brute_force(folder):
    """All devices, as is the default, against a dictionary for each neuron; gives what was written."""
    record, masks = mask_oracle.run_with_masks(
        folder / "all", folder / "store", [("text", folder / "text.jsonl")], **CHOSEN
    )
    mask_oracle.assert_counts(record, masks)
    mask_oracle.assert_ngrams(record, masks, range(0, masks[0].shape[2], 7))
    return run_test.digests(folder / "all")


def check_what_passes_between_devices(folder):
    """Nothing while the block runs; each device's masks, once, at a layer's end."""
    model, windows = read(folder)
    config = model.config
    spread = devices.spread(len(windows.tokens), 2)
    batch = loop.make_batches(windows, config, spread)[0]
    everywhere = devices.replicated(spread.mesh)
    embedding = jax.device_put(model.read_embed(), everywhere)
    params = jax.device_put(model.read_layer(0), everywhere)
    x = loop.embed_batch(config, embedding, batch.tokens, "float32")
    coverage = make_coverage(windows, config, spread)
    embed = loop.embed_batch.lower(config, embedding, batch.tokens, "float32")
    compiled = step.compile_step(config, coverage, params, x, batch)
    states = jax.device_put(
        step.init_states(coverage, spread.mesh), devices.sharded(spread.mesh)
    )
    merge = coverage.merge.lower(states).compile().as_text()
    for text in (embed.compile().as_text(), compiled.as_text()):
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
    (result,) = loop.run_layers(
        model, batches, reduction, "float32", range(1), hidden.InMemory()
    )
    found = ngram_coverage.join_candidates(reduction.finalize(result.state))
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


def co_activation(neurons):
    def update(state, active, batch):
        counted = (active & batch.valid[..., None]).astype(jnp.int32)
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
        "three then two": resume_on_others(folder, "memory", 3, 2),
    }
    with pytest.MonkeyPatch.context() as patch:
        run_test.keep_hidden_states(patch, "disk")
        found["three then eight, on disk"] = resume_on_others(folder, "disk", 3, 8)
    check_what_passes_between_devices(folder)
    check_own_statistic_and_small_blocks(folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
