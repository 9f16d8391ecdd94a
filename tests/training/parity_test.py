"""Three updates against torch: the same weights, windows and optimizer, dropout off."""

import dataclasses

import jax
import numpy as np
import pytest

from convert import opt
from jaxneurons import devices
from jaxneurons.store import reading
from jaxneurons.training import numerics, optimizer, parameters, recipe, step
from tests.support import cases, tiny_models

TOLERANCE = 1e-4
RECIPE = recipe.Recipe(
    steps=6, windows_per_step=4, warmup_steps=2, learning_rate=0.01, dropout=0.0
)
# A bias of the keys does not change attention: its gradient is rounding error alone, which Adam
# makes as large as any other.
IMMATERIAL = "['layers']['attention']['key']['bias']"


def torch_updates(model, batches, chosen):
    """The loss and the norm of the gradient of each update, and the optimizer after the last."""
    torch = pytest.importorskip("torch")
    is_matrix = {
        parameter: name.endswith("weight") and "layer_norm" not in name
        for name, parameter in model.named_parameters()
    }
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in is_matrix if is_matrix[p]], "weight_decay": 0.1},
            {"params": [p for p in is_matrix if not is_matrix[p]], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    losses, norms = [], []
    for number, windows in enumerate(batches):
        logits = model(torch.tensor(windows[:, :-1])).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(windows[:, 1:]).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.clip)
        for group in optimizer.param_groups:
            # Two steps of warm-up to 0.01, then 4 down to 0.001.
            group["lr"] = [0.005, 0.01, 0.00775][number]
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, optimizer


def as_ours(model, folder):
    """The config and the parameters of a torch model, as training has them."""
    opt.convert(tiny_models.write(model, folder / "hf"), folder / "store")
    found = reading.open_store(folder / "store")
    layers = [found.read_layer(i) for i in range(found.config.num_hidden_layers)]
    return found.config, parameters.stack(found.read_embed(), layers)


def assert_near(found, wanted):
    for (path, mine), theirs in zip(
        jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), strict=True
    ):
        where = jax.tree_util.keystr(path)
        if where != IMMATERIAL:
            difference = np.abs(np.asarray(mine) - theirs).max()
            assert difference < TOLERANCE * np.abs(theirs).max(), where


@cases.each(
    "variant, clip",
    [("pre_norm", 1.0), ("350m", 0.05)],
    every_day=[("350m", 0.05)],
)
@numerics.fixed()
def test_three_updates_agree_with_torch(variant, clip, tmp_path):
    torch = pytest.importorskip("torch")
    model = tiny_models.random_model(variant, dropout=0.0).train()
    config, params = as_ours(model, tmp_path / "before")
    chosen = dataclasses.replace(RECIPE, clip=clip)
    length = config.max_position_embeddings + 1
    batches = np.random.default_rng(0).integers(4, config.vocab_size, (3, 4, length))
    losses, norms, theirs = torch_updates(model, batches, chosen)
    assert max(norms) > clip

    mesh = devices.make_mesh()
    adam = jax.jit(optimizer.make(chosen).init)(params)
    # As the update leaves it, or it would be compiled twice.
    state = jax.device_put(
        step.State(jax.numpy.int32(0), params, adam), devices.replicated(mesh)
    )
    for windows, loss, norm in zip(batches, losses, norms, strict=True):
        placed = step.put_windows(mesh, windows.astype(np.int32), 1)
        state, metrics = step.update(config, chosen, mesh, state, placed)
        assert float(metrics.loss) == pytest.approx(loss, rel=TOLERANCE)
        assert float(metrics.gradient_norm) == pytest.approx(norm, rel=TOLERANCE)
    assert_near(state.parameters, as_ours(model, tmp_path / "after")[1])

    # Adam's first moment is the mean of the three gradients, clipped.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(theirs.state[parameter]["exp_avg"])
    (moments,) = [part.mu for part in state.optimizer[1] if hasattr(part, "mu")]
    assert_near(moments, as_ours(model, tmp_path / "moments")[1])
