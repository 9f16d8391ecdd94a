"""What to run for all of the paper's numbers: commands, tokens, and estimates of time and disk on a GPU.

The estimates are arithmetic, not measurements: the products of the forward pass (three times these to train)
at 15 to 40 % of the GPU's peak, which leaves the rest to counting and to reading weights.
"""

from typing import NamedTuple

from jaxneurons.config import PUBLISHED, Config

# Operations per second of dense 16-bit products, from the makers' data sheets.
GPUS = {"v100": 112e12, "a100": 312e12, "h100": 989e12, "h200": 989e12}
# A little above the paper's 20M (§2); for the 9 domains of §3.
TOKENS = 21_000_000
DOMAINS = 9
WINDOW = 2048
CORPORA = "jaxneurons/text/paper_corpora.json"
# §5.4: OPT's setup for so many batches of half a million tokens.
TRAINING_STEPS = 300_000
WINDOWS_PER_STEP = 256
# Shares of the peak that a whole study, and training, may reach.
_SHARES = (0.4, 0.15)
_BYTES = 2


class Estimate(NamedTuple):
    """Of a study: hours at the least and at the most, and gigabytes on disk."""

    hours: tuple[float, float]
    disk: float


def layer_operations(config: Config) -> float:
    """Multiplications and additions per token of a forward pass over windows of 2,048."""
    width, layers = config.hidden_size, config.num_hidden_layers
    weights = 4 * width**2 + 2 * width * config.ffn_dim
    return 2 * layers * (weights + width * WINDOW)


def estimate(config: Config, gpu: str) -> Estimate:
    """Of one study of TOKENS in DOMAINS domains, in float16."""
    width, layers, neurons = (
        config.hidden_size,
        config.num_hidden_layers,
        config.ffn_dim,
    )
    seconds = TOKENS * layer_operations(config) / GPUS[gpu]
    weights = layers * (4 * width**2 + 2 * width * neurons) + config.vocab_size * width
    positions = DOMAINS * layers * WINDOW * neurons
    # The checkpoint and the store, hidden states, and counts by position.
    disk = 2 * weights + TOKENS * width + positions
    low, high = (seconds / share / 3600 for share in _SHARES)
    return Estimate((low, high), _BYTES * disk / 1e9)


def to_text(gpu: str) -> str:
    """The plan, a command per line with its estimate before it."""
    lines = [
        f"# Every model of the paper on one {gpu.upper()}: estimates, not measurements.",
        f"# Set PILE and REDDIT, see {CORPORA}; add --spill_dir where memory has no room for hidden states.",
    ]
    for name, config in PUBLISHED.items():
        found = estimate(config, gpu)
        lines += [
            f"# {name}: {TOKENS:,} tokens, {_hours(found.hours)}, {found.disk:,.0f} GB of disk",
            _study(f"facebook/{name}", name),
        ]
    lines += _training(gpu)
    studies = " ".join(f"--study=studies/{name}" for name in PUBLISHED)
    trained = "--study='no positions=studies/no-positions' " + " ".join(
        f"--study={k}k=studies/{k}k" for k in (50, 150, 300)
    )
    return "\n".join(
        [
            *lines,
            "# all of it compared with the paper: seconds",
            f"python scripts/reproduce.py {studies} {trained} --out=reproduction",
        ]
    )


def _training(gpu: str) -> list[str]:
    """The models of §5.4 and their studies."""
    tokens = TRAINING_STEPS * WINDOWS_PER_STEP * WINDOW
    seconds = 3 * tokens * layer_operations(PUBLISHED["opt-125m"]) / GPUS[gpu]
    low, high = (seconds / share / 3600 for share in _SHARES)
    text = "--corpus='openwebtext=hf://Skylion007/openwebtext?split=train'"
    lines = []
    for positions in ("learned", "none"):
        keep = "--keep=50000,150000 " if positions == "learned" else ""
        options = (
            f"--size=opt-125m --positions={positions} {keep}--steps={TRAINING_STEPS}"
            f" --windows_per_step={WINDOWS_PER_STEP}"
        )
        lines += [
            f"# 125m with positions {positions}: {tokens:,} tokens, {_hours((low, high))}",
            f"python scripts/train.py {text} {options} --out=models/{positions}",
        ]
    studied = [
        ("learned", step, f"{step // 1000}k") for step in (50_000, 150_000, 300_000)
    ]
    for positions, step, name in [*studied, ("none", TRAINING_STEPS, "no-positions")]:
        lines.append(_study(f"models/{positions} --step={step}", name))
    return lines


def _study(model: str, name: str) -> str:
    return (
        f"python scripts/study.py --model={model} --corpora={CORPORA} --max_tokens={TOKENS}"
        f" --dtype=float16 --study=studies/{name}"
    )


def _hours(hours: tuple[float, float]) -> str:
    if hours[1] < 1:
        return f"up to {max(1.0, 60 * hours[1]):.0f} minutes"
    return f"{hours[0]:.1f} to {hours[1]:.1f} hours"
