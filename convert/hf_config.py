"""A Hugging Face `config.json` in, a `Config` out.

Three tables say what an attribute may be: handled, irrelevant to what the model computes, or
required to have a certain value. An attribute in none of them raises, unless it is said to be
ignored: what is not known may change the model. Nothing here runs code of the model's directory.
"""

import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from jaxneurons import config as configuration
from jaxneurons import errors
from jaxneurons.disk import strict_json

CONFIG_NAME = "config.json"


class Handled(NamedTuple):
    """Where an attribute goes, and what Hugging Face takes where it is absent."""

    field: str
    default: Any


HANDLED: Mapping[str, Handled] = {
    "vocab_size": Handled("vocab_size", 50272),
    "hidden_size": Handled("hidden_size", 768),
    "ffn_dim": Handled("ffn_dim", 3072),
    "num_hidden_layers": Handled("num_hidden_layers", 12),
    "num_attention_heads": Handled("num_attention_heads", 12),
    "max_position_embeddings": Handled("max_position_embeddings", 2048),
    "word_embed_proj_dim": Handled("word_embed_proj_dim", None),
    "do_layer_norm_before": Handled("do_layer_norm_before", True),
    "_remove_final_layer_norm": Handled("remove_final_layer_norm", False),
    "enable_bias": Handled("enable_bias", True),
    "layer_norm_elementwise_affine": Handled("layer_norm_elementwise_affine", True),
    "activation_function": Handled("activation_function", "relu"),
    "bos_token_id": Handled("bos_token_id", 2),
    "eos_token_id": Handled("eos_token_id", 2),
    "pad_token_id": Handled("pad_token_id", 1),
}

# What Galactica's own code called `enable_bias`.
OLDER_NAMES = {"bias": "enable_bias"}

# Attributes of published configs and of the base classes of transformers 4 and 5 that would change
# the model, or how its files are read, if they said anything else; null where that says nothing.
REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "model_type": ("opt",),
    "tie_word_embeddings": (True, None),
    # Galactica's own code: positions are learned, embeddings are not multiplied by sqrt(D).
    "learned_embeddings": (True,),
    "scale_embeddings": (False,),
    # opt-13b: a head there is, tied to the embedding.
    "output_projection": (True,),
    "is_encoder_decoder": (False, None),
    "is_decoder": (True, False, None),
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "tie_encoder_decoder": (False, None),
    "chunk_size_feed_forward": (0, None),
    "pruned_heads": ({}, None),
    "per_layer_config": ({}, None),
    "auto_map": ({}, None),
    "quantization_config": (None,),
    "compression_config": (None,),
    "rope_parameters": (None,),
    "rope_scaling": (None,),
    "sliding_window": (None,),
}

# Why an attribute does not matter here, and the attributes.
IRRELEVANT: Mapping[str, str] = {
    "training only": """
        activation_dropout attention_dropout dropout gradient_checkpointing init_std layerdrop
    """,
    "the type of the weights is read from the weights": """
        dtype torch_dtype use_bfloat16
    """,
    "where the files came from": """
        _commit_hash _name_or_path architectures name_or_path output_past tokenizer_class
        transformers_version
    """,
    "how another library runs the same computation, and what it returns of it": """
        _attn_implementation _attn_implementation_autoset _attn_implementation_internal
        _experts_implementation _experts_implementation_internal _flash_attn_2_enabled
        attn_implementation experts_implementation keys_to_ignore_at_inference
        output_attentions output_hidden_states return_dict tf_legacy_loss
        tie_last_hidden_states torchscript use_cache
    """,
    "heads of fine-tuned models, whose keys are refused": """
        finetuning_task id2label label2id num_labels problem_type task_specific_params
    """,
    "generation": """
        assistant_confidence_threshold assistant_lookbehind bad_words_ids
        begin_suppress_tokens decoder_start_token_id diversity_penalty do_sample
        early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty
        epsilon_cutoff eta_cutoff exponential_decay_length_penalty forced_bos_token_id
        forced_eos_token_id length_penalty max_length min_length no_repeat_ngram_size
        num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams
        num_return_sequences output_scores prefix remove_invalid_values
        repetition_penalty return_dict_in_generate sep_token_id suppress_tokens
        target_lookbehind temperature top_k top_p typical_p
    """,
}


def read_config(
    directory: pathlib.Path, ignored: Collection[str] = ()
) -> configuration.Config:
    """The configuration of the model in a directory.

    Args:
        directory: of the model.
        ignored: names of attributes in none of the tables that are known not to change the model.

    Raises:
        UsageError: an attribute to ignore is in one of the tables.
        ConfigError: `config.json` is missing or malformed, is not that of an OPT model, or asks for
            something that is not supported; all such attributes are named.
        InputOutputError: the operating system refuses.
    """
    path = pathlib.Path(directory) / CONFIG_NAME
    if not os.path.isfile(path):
        raise errors.ConfigError(f"{path}: no such file. A model needs one.")
    attributes = strict_json.read_object(path, errors.ConfigError)
    irrelevant = " ".join(IRRELEVANT.values()).split()
    known = {*HANDLED, *OLDER_NAMES, *REQUIRED, *irrelevant}
    _check_ignored(known, ignored)
    unknown = sorted(attributes.keys() - known - set(ignored))
    problems = _problems(attributes)
    if unknown and not problems:
        shown = ", ".join(f"{n} ({strict_json.short(attributes[n])})" for n in unknown)
        raise errors.ConfigError(
            f"{path}: unknown attributes, which may change what the model computes: {shown}. If "
            "they do not, they can be ignored.",
            remedy={"ignore_attributes": ",".join(unknown)},
        )
    problems += [f"{name} is not supported" for name in unknown]
    if problems:
        raise errors.ConfigError(f"{path}: {'; '.join(problems)}")
    try:
        result = configuration.Config(**_fields(attributes))
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{path}: {error}") from error
    _check_special_tokens(result, path)
    return result


def _check_ignored(known: Collection[str], ignored: Collection[str]) -> None:
    if refused := sorted(set(ignored) & set(known)):
        raise errors.UsageError(
            f"{', '.join(refused)} cannot be ignored: this release knows what it means. Name only "
            "attributes that are said to be unknown."
        )


def _problems(attributes: Mapping[str, Any]) -> list[str]:
    """What attributes in the tables say that is not supported."""
    short = strict_json.short
    model_type = attributes.get("model_type")
    if model_type != "opt":
        return [f'model_type is {short(model_type)}: only "opt" is supported']
    problems = [
        f"{name} is {short(attributes[name])}: only {short(accepted[0])} is supported"
        for name, accepted in REQUIRED.items()
        if name in attributes and not _is_one_of(attributes[name], accepted)
    ]
    for older, name in OLDER_NAMES.items():
        older_value = attributes.get(older)
        if older in attributes and attributes.get(name, older_value) != older_value:
            problems.append(f"{older} and {name} disagree")
    width = attributes.get("word_embed_proj_dim")
    # 0 would stand for "as hidden_size" in our own config.
    if width is not None and (type(width) is not int or width < 1):
        problems.append(f"word_embed_proj_dim is {short(width)}, which is not a size")
    return problems


def _fields(attributes: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {OLDER_NAMES.get(name, name): attributes[name] for name in attributes}
    fields = {
        handled.field: renamed.get(name, handled.default)
        for name, handled in HANDLED.items()
    }
    if fields["word_embed_proj_dim"] is None:
        fields["word_embed_proj_dim"] = fields["hidden_size"]
    return fields


def _check_special_tokens(result: configuration.Config, path: pathlib.Path) -> None:
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(result, name) >= result.vocab_size:
            raise errors.ConfigError(
                f"{path}: {name} is {getattr(result, name)}, and vocab_size only "
                f"{result.vocab_size}"
            )


def _is_one_of(value: Any, accepted: tuple[Any, ...]) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in accepted)
