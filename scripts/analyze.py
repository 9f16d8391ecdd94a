"""Finds a study's detectors and positional neurons again under other thresholds, from its arrays alone.

    python scripts/analyze.py --study=studies/opt-125m --most_unigrams=10 --trigger_share=.9

Replaces detectors_{n}.jsonl, positional.jsonl, summary.json and figures/ in the study, or writes them
to --out and leaves the study as it is; the arrays never change. Needs neither text nor model: only what
detectors promote and suppress is left out without --model. TODO
"""

import pathlib

from absl import flags

from convert import cached
from jaxneurons import cache, command, study
from jaxneurons.analysis import analyze
from jaxneurons.stats import position_information, position_types, suppression, thresholds

_STUDY = flags.DEFINE_string("study", None, "A finished study.", required=True)
