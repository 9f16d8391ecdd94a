"""What a study says before it begins is what it then works on."""

import jax
import numpy as np
from jax.sharding import Mesh

from jaxneurons.run import announcement, memory_plan
from jaxneurons.text import corpus
from tests.support import cases, tiny_tokenizers


def test_documents_and_tokens_of_each_domain(tmp_path):
    sources = [
        ("one", tiny_tokenizers.token_file(tmp_path / "one.jsonl", [5] * 11)),
        ("three", tiny_tokenizers.token_file(tmp_path / "3.jsonl", [5] * 9, [6], [7])),
    ]
    windows = corpus.load_windows(sources, None, tiny_tokenizers.CONFIG, 6)
    # 11 tokens are three windows of 5 and their BOS; 11 and two separators are three too.
    assert announcement.text(windows) == [
        "text one: 1 document, 0 bytes, 14 tokens",
        "text three: 3 documents, 0 bytes, 16 tokens",
    ]


@cases.each("place", ["memory", "disk"])
def test_what_may_be_used_is_the_smaller_of_the_two_on_a_cpu(place):
    mesh = Mesh(np.array(jax.local_devices()[:1]), ("windows",))
    plan = memory_plan.Plan(place, None)
    said = announcement.memory(plan, memory_plan.Need(3 * 2**30, 2**30), mesh)
    assert said == (
        f"memory: hidden states {'in' if place == 'memory' else 'on'} {place}; "
        "up to 1.0 GiB may be used"
    )
