"""A model is converted once, and again as soon as anything that its conversion reads is another."""

import json
import os
import shutil
import threading
from concurrent import futures

import numpy as np
import pytest
import safetensors.numpy

from convert import cached, export
from jaxneurons import config, errors
from jaxneurons.store import reading
from jaxneurons.text import corpus
from jaxneurons.text.tokenizer import Tokenizer
from tests.support import cases, helpers, planted, tiny_tokenizers

MODEL = config.Config(
    vocab_size=300,
    hidden_size=300,
    ffn_dim=planted.NEURONS,
    num_hidden_layers=1,
    num_attention_heads=2,
    max_position_embeddings=16,
)
SHARD = "weights/part-1.safetensors"
BIAS = "model.decoder.layers.0.fc1.bias"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A model in Hugging Face's format, with a tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    layer = (np.zeros((300, planted.NEURONS)), np.arange(planted.NEURONS))
    stored = planted.write_store(folder / "store", [layer], MODEL)
    export.write_huggingface(reading.open_store(stored), folder / "model")
    tiny_tokenizers.save_tokenizer(folder / "model")
    return folder / "model"


@pytest.fixture
def model(plain, tmp_path):
    """The same with its only shard in a folder below."""
    shutil.copytree(plain, tmp_path / "model")
    (tmp_path / "model" / "weights").mkdir()
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / SHARD)
    keys = safetensors.numpy.load_file(tmp_path / "model" / SHARD)
    index = {"weight_map": dict.fromkeys(keys, SHARD)}
    path = tmp_path / "model" / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    return tmp_path / "model"


def first_bias(model, cache_directory):
    """The bias of the first neuron, as a study would see it."""
    opened = cached.open_model(str(model), cache_directory)[1]
    return opened.read_layer(0)["feed_forward"]["fc1"]["bias"][0]


def with_bias(path, value):
    """The content of a shard with another bias."""
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors[BIAS] = tensors[BIAS].copy()
    tensors[BIAS][0] = value
    return safetensors.numpy.save(tensors, metadata={"format": "pt"})


def in_place(path, content):
    path.write_bytes(content)


def renamed(path, content):
    path.with_name("new").write_bytes(content)
    os.replace(path.with_name("new"), path)


def folder_swapped(path, content):
    folder = path.parent
    new = folder.with_name("new")
    shutil.copytree(folder, new)
    (new / path.name).write_bytes(content)
    _keep_time(new / path.name, path)
    folder.rename(folder.with_name("old"))
    new.rename(folder)


def link_moved(path, content):
    path.rename(path.with_name("old"))
    path.with_name("new").write_bytes(content)
    _keep_time(path.with_name("new"), path.with_name("old"))
    path.symlink_to("new")


def _keep_time(path, of):
    os.utime(path, ns=(of.stat().st_atime_ns, of.stat().st_mtime_ns))


@cases.each("change", [in_place, renamed, folder_swapped, link_moved], fresh="model")
def test_weights_in_a_folder_below_that_change_are_converted_again(
    model, tmp_path, change
):
    path = model / SHARD
    cache_directory = tmp_path / "cache"
    assert first_bias(model, cache_directory) == 0
    status = path.stat()
    change(path, with_bias(path, 5))
    # Tools that copy, unpack and synchronise keep it, and the size is what it was.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert first_bias(model, cache_directory) == 5
    assert len(os.listdir(cache_directory / "stores")) == 2
    assert first_bias(model, cache_directory) == 5
    assert len(os.listdir(cache_directory / "stores")) == 2


def test_a_tokenizer_that_changes_is_converted_again(model, tmp_path):
    def title():
        opened = cached.open_model(str(model), tmp_path / "cache")[1]
        return Tokenizer.from_json(opened.read_tokenizer(), "here").token_text(4)

    path = model / "tokenizer.json"
    assert title() == "!"
    status = path.stat()
    content = path.read_text().replace('"!":4', '"?":4').replace('"?":34', '"!":34')
    path.write_text(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert title() == "?"


def test_files_that_no_conversion_reads_do_not_matter(model, tmp_path):
    cached.open_model(str(model), tmp_path / "cache")
    (model / "README.md").write_text("new")
    (model / "training_args.bin").write_text("new")
    (model / "checkpoint-1").mkdir()
    (model / "checkpoint-1" / "model.safetensors").write_text("new")
    cached.open_model(str(model), tmp_path / "cache")
    assert len(os.listdir(tmp_path / "cache" / "stores")) == 1


def test_all_who_open_a_model_at_once_get_its_one_store(plain, tmp_path):
    barrier = threading.Barrier(4)

    def open_model(_):
        barrier.wait(30)
        return cached.open_model(str(plain), tmp_path)[1]

    with futures.ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_model, range(4)))
    assert len({store.location for store in opened}) == 1
    assert len(os.listdir(tmp_path / "stores")) == 1


def test_a_tokenizer_that_adds_nothing_does_for_text_and_for_ready_tokens(
    plain, tmp_path
):
    model = shutil.copytree(plain, tmp_path / "model")
    tiny_tokenizers.save_tokenizer(model, beginning=())
    opened = cached.open_model(str(model), tmp_path / "cache")[1]
    tokenizer = Tokenizer.from_json(opened.read_tokenizer(), "here")
    lines = [{"text": "!"}, {"tokens": [7]}]
    path = tiny_tokenizers.write_lines(tmp_path / "a.jsonl", lines)
    found = corpus.load_windows([("a", path)], tokenizer, opened.config, 4)
    assert found.tokens.tolist() == [[2, 4, 2, 7]]


def test_what_is_wrong_with_a_tokenizer_names_the_directory_given(plain, tmp_path):
    model = shutil.copytree(plain, tmp_path / "model")
    tiny_tokenizers.save_tokenizer(model, beginning=("</s>", "</s>"))
    with pytest.raises(errors.TokenizerError, match=f"^{model}: the tokenizer turns"):
        cached.open_model(str(model), tmp_path / "cache")
    assert os.listdir(tmp_path / "cache" / "stores") == []


STUDY = """
import sys
made = []
def look(event, arguments):
    if event.startswith("tempfile"):
        made.append((event, arguments))
sys.addaudithook(look)
import jaxneurons
model, text, cache, study = sys.argv[1:]
model = jaxneurons.open_model(model, cache=cache)
text = jaxneurons.load_text(model, {"a": text}, cache=cache)
jaxneurons.study(model, text, study, ngrams=False, figures=False)
assert not {"transformers", "torch"} & sys.modules.keys(), "transformers was imported"
assert not made, made
"""


@pytest.mark.campaign
def test_a_study_needs_no_transformers_and_no_temporary_files(plain, tmp_path):
    text = tiny_tokenizers.write_lines(tmp_path / "a.jsonl", [{"text": "abc " * 30}])
    cached.open_model(str(plain), tmp_path / "cache")
    helpers.run_python(STUDY, plain, text, tmp_path / "cache", tmp_path / "study")
