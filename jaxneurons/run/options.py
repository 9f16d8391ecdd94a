"""The flags of a study: command line in, what the user asks for and what may be used out."""

from typing import Any

from absl import flags

from jaxneurons.command import common_flags, machine_flags, text_flags
from jaxneurons.config import DTYPES, PRECISIONS
from jaxneurons.disk import places
from jaxneurons.run.resources import Resources

LAYERS = flags.DEFINE_string(
    "layers",
    None,
    "Layers to report, as FIRST:LAST with both included: 0:5 for the first six. Layers below FIRST are "
    "computed all the same, those above LAST are not. Default: all layers.",
)
WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Number of tokens per window. Default: the model's longest context.",
)
WINDOWS_PER_BATCH = flags.DEFINE_integer(
    "windows_per_batch",
    None,
    "Number of windows that each device computes at a time. Default: as many as make about 2,048 tokens "
    "on a CPU and 16,384 on other devices.",
)
DTYPE = flags.DEFINE_enum(
    "dtype",
    "auto",
    ("auto", *DTYPES),
    "Floating-point type to compute in. auto is float32 on a CPU, and on accelerators, where float32 is many times "
    "slower, the type that the weights are stored in.",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "highest",
    list(PRECISIONS),
    "How float32 is multiplied: highest is float32 throughout; tf32x3, bf16x3 and bf16x6 add 3 or 6 products of "
    "shorter terms, which a GPU multiplies faster.",
)
MAX_TOKENS = flags.DEFINE_integer(
    "max_tokens",
    None,
    "Largest number of tokens to read, shared out over the domains. Default: all.",
)
NGRAMS = flags.DEFINE_bool(
    "ngrams", True, "Whether to count n-grams, from which detectors are found."
)
EXAMPLES = flags.DEFINE_integer(
    "examples",
    16,
    "Number of windows to keep for each neuron in which it is at its highest, and of windows chosen at "
    "random among those in which it is active. With 0 none are kept.",
    lower_bound=0,
)
CANDIDATE_SHARE = flags.DEFINE_string(
    "candidate_share",
    "0.95",
    "Lowest --coverage_share that analyze.py can be asked for later. A lower one keeps n-grams of more neurons, "
    "which takes disk and time.",
)
CANDIDATE_COVERAGE = flags.DEFINE_integer(
    "candidate_coverage",
    64,
    "Largest --most_unigrams and --most_ngrams that analyze.py can be asked for later. A larger one keeps n-grams "
    "of more neurons, which takes disk and time.",
)
DOCUMENT_START = flags.DEFINE_integer(
    "document_start",
    None,
    "Id of the token that begins every window and stands between two documents. Default: what the model's "
    "config.json says.",
    lower_bound=0,
)
PART = flags.DEFINE_string(
    "part",
    None,
    "Share of the windows to study, as I/N with I from 1 to N, such as 2/4. Machines that are not connected can study "
    "one share each, and merge.py makes one study of them. It needs --nongrams. Default: all windows.",
)
SUPPRESSION = flags.DEFINE_bool(
    "suppression",
    True,
    "Whether to find which tokens neurons promote and suppress. Without it a study takes less time, and "
    "analyze.py finds them later.",
)
MACHINE = machine_flags.define()
SPILL_DIR = flags.DEFINE_string(
    "spill_dir",
    None,
    "Directory for hidden states that do not fit in memory, and for the copies of them that --resume "
    "reads; up to three times their size. Default: a folder in the study; of a study in an object store, one in "
    "the cache.",
)
CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes",
    10.0,
    "Least number of minutes between copies of the hidden states on disk, from which --resume continues. "
    "With 0 there is a copy after every layer, with inf there is none and --resume computes them again.",
    lower_bound=0,
)
TOKENS_PER_PASS = flags.DEFINE_integer(
    "tokens_per_pass",
    None,
    "Number of tokens whose hidden states are held at a time; the weights are read again for each such "
    "pass. It needs --nongrams. Default: all tokens.",
    lower_bound=1,
)
TEXT = text_flags.define(
    "Default: text that comes with the package: index cards for opt-0.3m, running text for any other model"
)


def resources() -> Resources:
    """What the flags allow to be used; raises UsageError for a number that is none."""
    return Resources(
        spill_directory=places.local(SPILL_DIR.value) if SPILL_DIR.value else None,
        checkpoint_minutes=CHECKPOINT_MINUTES.value,
        tokens_per_pass=TOKENS_PER_PASS.value,
        **MACHINE.given(),
    )


def chosen() -> dict[str, Any]:
    """What decides a study's numbers besides its text; raises as `layers`."""
    return {
        "layers": layers(),
        "windows_per_batch": WINDOWS_PER_BATCH.value,
        "dtype": DTYPE.value,
        "precision": PRECISION.value,
        "ngrams": NGRAMS.value,
        "examples": EXAMPLES.value,
        "candidate_share": CANDIDATE_SHARE.value,
        "candidate_coverage": CANDIDATE_COVERAGE.value,
    }


def layers() -> tuple[int, int] | None:
    """First and last layer to report, both included; raises UsageError for what is no such range."""
    return common_flags.parse_layers(LAYERS)
