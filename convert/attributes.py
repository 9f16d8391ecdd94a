"""Three tables per family of models: what each attribute of a Hugging Face `config.json` may say.

An attribute is handled, irrelevant to what the model computes, or required to have a certain value.
What is in none of the tables may change the model. Galactica is of OPT's class and family.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Handled(NamedTuple):
    """Where an attribute goes, and what Hugging Face takes where it is absent."""

    field: str
    default: Any


class Table(NamedTuple):
    """The attributes of a family.

    Attributes:
        handled: by attribute, the field of `Config`.
        required: by attribute, the values that are supported, null where that says nothing.
        irrelevant: by the reason why they do not matter, attributes separated by spaces.
        always: fields of `Config` that are the same in all models of the family.
        older_names: of handled attributes.
    """

    handled: Mapping[str, Handled]
    required: Mapping[str, tuple[Any, ...]]
    irrelevant: Mapping[str, str]
    always: Mapping[str, Any]
    older_names: Mapping[str, str] = {}

    def known(self) -> list[str]:
        """Every attribute that some table has."""
        irrelevant = " ".join(self.irrelevant.values()).split()
        return [*self.handled, *self.older_names, *self.required, *irrelevant]


# Attributes of the base classes of transformers 4 and 5 that would change the model, or how its
# files are read, if they said anything else.
_REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "tie_word_embeddings": (True, None),
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

_IRRELEVANT: Mapping[str, str] = {
    "the family, by which this table was chosen": "model_type",
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
        _num_labels finetuning_task id2label label2id num_labels problem_type
        task_specific_params
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

_OPT = Table(
    handled={
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
    },
    required={
        **_REQUIRED,
        # Galactica's own code: positions are learned, embeddings are not multiplied by sqrt(D).
        "learned_embeddings": (True,),
        "scale_embeddings": (False,),
        # opt-13b: a head there is, tied to the embedding.
        "output_projection": (True,),
    },
    irrelevant={
        **_IRRELEVANT,
        "training only": """
            activation_dropout attention_dropout dropout gradient_checkpointing init_std layerdrop
        """,
    },
    always={"position_offset": 2, "layer_norm_epsilon": 1e-5},
    # What Galactica's own code called it.
    older_names={"bias": "enable_bias"},
)

_GPT2 = Table(
    handled={
        "vocab_size": Handled("vocab_size", 50257),
        "n_embd": Handled("hidden_size", 768),
        "n_inner": Handled("ffn_dim", None),
        "n_layer": Handled("num_hidden_layers", 12),
        "n_head": Handled("num_attention_heads", 12),
        "n_positions": Handled("max_position_embeddings", 1024),
        "activation_function": Handled("activation_function", "gelu_new"),
        "layer_norm_epsilon": Handled("layer_norm_epsilon", 1e-5),
        "bos_token_id": Handled("bos_token_id", 50256),
        "eos_token_id": Handled("eos_token_id", 50256),
        "pad_token_id": Handled("pad_token_id", None),
    },
    required={
        **_REQUIRED,
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
    },
    irrelevant={
        **_IRRELEVANT,
        "training only": """
            attn_pdrop embd_pdrop gradient_checkpointing initializer_range resid_pdrop
        """,
        "scores of attention are float32 here whatever the weights are": """
            reorder_and_upcast_attn
        """,
        "an older name for n_positions, which the position table must fit": "n_ctx",
        "the head for multiple choice, whose keys are refused": """
            predict_special_tokens summary_activation summary_first_dropout
            summary_proj_to_labels summary_type summary_use_proj
        """,
        "IgLM: with which tokens the training data began": """
            condition_on_chain condition_on_species
        """,
    },
    always={
        "position_offset": 0,
        "do_layer_norm_before": True,
        "remove_final_layer_norm": False,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
    },
)

# By what `model_type` says.
FAMILIES: Mapping[str, Table] = {"opt": _OPT, "gpt2": _GPT2}
