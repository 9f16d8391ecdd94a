"""Configs of the hub pass and mean what they say; anything not understood is refused by name."""

import json

import pytest

from convert import attributes as tables
from convert import hf_config
from jaxneurons import config as configuration
from jaxneurons import errors
from tests.support import cases

# As they are on the hub, written by transformers 4 (`torch_dtype`, `prefix`, ...).
BASE = {
    "activation_dropout": 0.0,
    "activation_function": "relu",
    "architectures": ["OPTForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "do_layer_norm_before": True,
    "dropout": 0.1,
    "eos_token_id": 2,
    "init_std": 0.02,
    "layerdrop": 0.0,
    "max_position_embeddings": 2048,
    "model_type": "opt",
    "pad_token_id": 1,
    "prefix": "</s>",
    "torch_dtype": "float16",
    "transformers_version": "4.21.0.dev0",
    "use_cache": True,
    "vocab_size": 50272,
}


def sizes(layers, heads, hidden_size, **others):
    return BASE | {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": hidden_size,
        "ffn_dim": 4 * hidden_size,
        "word_embed_proj_dim": hidden_size,
        **others,
    }


NORM_KEPT = {"_remove_final_layer_norm": False}
PUBLISHED = {
    "opt-125m": sizes(12, 12, 768),
    "opt-350m": sizes(
        24, 16, 1024, word_embed_proj_dim=512, do_layer_norm_before=False
    ),
    "opt-1.3b": sizes(24, 32, 2048),
    "opt-2.7b": sizes(32, 32, 2560, **NORM_KEPT),
    "opt-6.7b": sizes(32, 32, 4096, **NORM_KEPT),
    "opt-13b": sizes(
        40,
        40,
        5120,
        _name_or_path="facebook/opt-13b",
        output_projection=True,
        **NORM_KEPT,
    ),
    "opt-30b": sizes(48, 56, 7168, **NORM_KEPT),
    "opt-66b": sizes(64, 72, 9216, **NORM_KEPT),
}
TINY = sizes(2, 4, 24)


def read(directory, attributes):
    """The config of these attributes, given as a dict or as the file's bytes."""
    if isinstance(attributes, dict):
        attributes = json.dumps(attributes).encode()
    (directory / "config.json").write_bytes(attributes)
    return hf_config.read_config(directory)


def refusal(directory, attributes):
    """The one line that refuses it, which names the file."""
    with pytest.raises(errors.ConfigError) as caught:
        read(directory, attributes)
    message = str(caught.value)
    assert message.startswith(str(directory / "config.json")) and "\n" not in message
    assert len(message) < 1000
    return message


@cases.each("name", PUBLISHED)
def test_published_configs_read_as_the_table_of_sizes(tmp_path, name):
    assert read(tmp_path, PUBLISHED[name]) == configuration.PUBLISHED[name]


def test_what_transformers_writes_reads_back(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.OPTConfig(
        hidden_size=24,
        num_attention_heads=4,
        word_embed_proj_dim=10,
        enable_bias=False,
        layer_norm_elementwise_affine=False,
        _remove_final_layer_norm=True,
        activation_function="gelu",
        bos_token_id=0,
    )
    wanted = configuration.Config(
        vocab_size=50272,
        hidden_size=24,
        ffn_dim=3072,
        num_hidden_layers=12,
        num_attention_heads=4,
        word_embed_proj_dim=10,
        enable_bias=False,
        layer_norm_elementwise_affine=False,
        remove_final_layer_norm=True,
        activation_function="gelu",
        bos_token_id=0,
    )
    config.save_pretrained(tmp_path)
    assert hf_config.read_config(tmp_path) == wanted
    assert read(tmp_path, config.to_dict()) == wanted


def test_no_attribute_is_in_two_tables_and_none_of_transformers_in_no_table():
    transformers = pytest.importorskip("transformers")
    generation = transformers.GenerationConfig._get_default_generation_params()
    for family, table in tables.FAMILIES.items():
        known = table.known()
        assert len(known) == len(set(known))
        defaults = transformers.AutoConfig.for_model(family).to_dict()
        assert (defaults | generation).keys() <= set(known)


def test_defaults_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    for family, table in tables.FAMILIES.items():
        defaults = transformers.AutoConfig.for_model(family).to_dict()
        read_back = read(tmp_path, {"model_type": family})
        defaults["n_inner"] = 3072  # 4 D is what GPT-2 makes of null.
        for name, handled in table.handled.items():
            assert getattr(read_back, handled.field) == defaults[name], name


# As they are on the hub: layers, heads, D, and what is said of biases and norms.
NO_BIAS = {"bias": False, "layer_norm_elementwise_affine": False}
GALACTICA = {
    "galactica-125m": (12, 12, 768, {"enable_bias": True}),
    "galactica-1.3b": (24, 32, 2048, {"enable_bias": True}),
    "galactica-6.7b": (32, 32, 4096, {"bias": True}),
    "galactica-30b": (48, 56, 7168, NO_BIAS),
    "galactica-120b": (96, 80, 10240, NO_BIAS | {"enable_bias": False}),
}
GPT2 = {
    "distilgpt2": (6, 12, 768),
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}


def test_galactica_configs_read(tmp_path):
    common = {
        "activation_function": "gelu",
        "bos_token_id": 0,
        "learned_embeddings": True,
        "scale_embeddings": False,
        "vocab_size": 50000,
        **NORM_KEPT,
    }
    for layers, heads, width, said in GALACTICA.values():
        found = read(tmp_path, sizes(layers, heads, width, **common, **said))
        biases = "bias" not in said or said["bias"]
        assert found == configuration.Config(
            vocab_size=50000,
            hidden_size=width,
            ffn_dim=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            activation_function="gelu",
            bos_token_id=0,
            enable_bias=biases,
            layer_norm_elementwise_affine=biases,
        )
        # Not what the configuration calls the beginning of a sequence.
        assert found.document_start_token_id == 2
        assert found.can_certify == biases
    refused = refusal(tmp_path, TINY | {"bias": False, "enable_bias": True})
    assert "bias and enable_bias disagree" in refused


def gpt2(layers, heads, width, **others):
    """As on the hub, written by transformers 2 to 4."""
    return {
        "_num_labels": 1,
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 50256,
        "embd_pdrop": 0.1,
        "eos_token_id": 50256,
        "id2label": {"0": "LABEL_0"},
        "initializer_range": 0.02,
        "label2id": {"LABEL_0": 0},
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 1024,
        "n_embd": width,
        "n_head": heads,
        "n_layer": layers,
        "n_positions": 1024,
        "output_past": True,
        "resid_pdrop": 0.1,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True}},
        "vocab_size": 50257,
        **others,
    }


def test_gpt2_configs_read(tmp_path):
    for layers, heads, width in GPT2.values():
        found = read(tmp_path, gpt2(layers, heads, width))
        assert found == configuration.Config(
            vocab_size=50257,
            hidden_size=width,
            ffn_dim=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=1024,
            activation_function="gelu_new",
            position_offset=0,
            document_start_token_id=50256,
            bos_token_id=50256,
            eos_token_id=50256,
            pad_token_id=None,
        )
        assert found.special_tokens == (50256,)
    # As IgLM has it: a vocabulary without the ids that are said to be special.
    found = read(tmp_path, gpt2(2, 4, 24, vocab_size=33, n_inner=40))
    assert found.ffn_dim == 40 and found.special_tokens == ()
    assert found.document_start_token_id is None
    for attribute, value in (
        ("tie_word_embeddings", False),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("add_cross_attention", True),
        ("activation_function", "gelu_fast"),
        ("layer_norm_epsilon", 0),
        ("n_embd", "24"),
        ("n_inner", 0),
        ("n_layer", None),
        ("n_head", 5),
        ("word_embed_proj_dim", 24),
        ("rotary_dim", 8),
    ):
        message = refusal(tmp_path, gpt2(2, 4, 24, **{attribute: value}))
        assert attribute in message, (attribute, value)


def test_null_is_the_default_where_it_is_for_transformers(tmp_path):
    nulls = {
        "word_embed_proj_dim": None,
        "quantization_config": None,
        "auto_map": None,
        "task_specific_params": None,
    }
    assert read(tmp_path, TINY | nulls) == read(tmp_path, TINY)


@pytest.mark.fault(case=11)
def test_what_is_not_understood_is_refused_by_name(tmp_path):
    for attribute, value in (
        ("model_type", "llama"),
        ("model_type", None),
        ("model_type", ["opt"]),
        ("tie_word_embeddings", False),
        ("activation_function", "silu"),
        ("activation_function", None),
        ("rope_theta", 10000.0),
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("auto_map", {"AutoModel": "modeling_evil.Model"}),
        ("quantization_config", {"bits": 4}),
        ("scale_embeddings", True),
        ("learned_embeddings", False),
        ("pruned_heads", {"1": [0]}),
        ("add_cross_attention", True),
        ("chunk_size_feed_forward", 64),
        ("chunk_size_feed_forward", False),
        ("layer_norm_epsilon", 1e-5),
        ("some_new_attribute", None),
        ("vocab_size", 0),
        ("vocab_size", "50272"),
        ("vocab_size", True),
        ("vocab_size", None),
        ("ffn_dim", -3072),
        ("ffn_dim", 10**25),
        ("hidden_size", 24.0),
        ("hidden_size", 25),
        ("num_hidden_layers", 2**31),
        ("num_attention_heads", 5),
        ("max_position_embeddings", [2048]),
        ("word_embed_proj_dim", 0),
        ("word_embed_proj_dim", False),
        ("do_layer_norm_before", "false"),
        ("do_layer_norm_before", 0),
        ("enable_bias", None),
        ("_remove_final_layer_norm", 1),
        ("eos_token_id", [2, 3]),
        ("bos_token_id", -1),
    ):
        message = refusal(tmp_path, TINY | {attribute: value})
        assert attribute.lstrip("_") in message, (attribute, value)


@pytest.mark.fault(case=11)
def test_all_that_is_wrong_comes_in_one_error(tmp_path):
    message = refusal(tmp_path, TINY | {"alibi": True, "auto_map": {"a": "b"}})
    assert "alibi" in message and "auto_map" in message


@pytest.mark.fault(case=6)
@pytest.mark.fault(case=11)
def test_malformed_files_are_refused(tmp_path):
    for content, fragment in (
        (b"{", "not valid JSON"),
        (b'{"model_type": "opt", "vocab_size": 5, "vocab_size": 6}', "vocab_size"),
        (b'{"model_type": "opt", "dropout": NaN}', '"dropout": NaN'),
        (b'{"ffn_dim": ' + b"7" * 5000 + b"}", '"ffn_dim": an integer of 5000'),
        (b'{"ffn_dim": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "nested"),
    ):
        assert fragment in refusal(tmp_path, content)


@pytest.mark.fault(case=11)
def test_unknown_attributes_can_be_ignored_but_no_others(tmp_path):
    attributes = TINY | {"tuned_by": "me", "alibi": True}
    with pytest.raises(errors.ConfigError) as caught:
        read(tmp_path, attributes)
    assert 'alibi (true), tuned_by ("me")' in str(caught.value)
    assert caught.value.remedy == {"ignore_attributes": "alibi,tuned_by"}
    ignored = caught.value.remedy["ignore_attributes"].split(",")
    assert hf_config.read_config(tmp_path, ignored) == read(tmp_path, TINY)
    for known in ("vocab_size", "quantization_config", "dropout", "bias"):
        with pytest.raises(errors.UsageError, match=f"{known} cannot be ignored"):
            hf_config.read_config(tmp_path, [known])
    # Ignoring does not help where something else is wrong.
    (tmp_path / "config.json").write_text(
        json.dumps(attributes | {"auto_map": {"a": 1}})
    )
    with pytest.raises(errors.ConfigError, match="auto_map.*alibi") as caught:
        hf_config.read_config(tmp_path)
    assert caught.value.remedy == {}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"config\.json: no such file"):
        hf_config.read_config(tmp_path)


@pytest.mark.fault(case=11)
def test_code_beside_the_config_never_runs(tmp_path):
    canary = tmp_path / "canary"
    for name in ("configuration_opt.py", "modeling_opt.py", "__init__.py"):
        (tmp_path / name).write_text(f"open({str(canary)!r}, 'w')")
    read(tmp_path, TINY)
    refusal(tmp_path, TINY | {"auto_map": {"AutoConfig": "configuration_opt.Config"}})
    assert not canary.exists()
