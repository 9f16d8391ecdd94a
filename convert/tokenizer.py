"""A model's tokenizer files in, one `tokenizer.json` out: what stores hold and studies read.

In come the files of a tokenizer in any of the forms in which those of OPT, Galactica and GPT-2 are
published: `tokenizer.json`, or `vocab.json` and `merges.txt`, and files that add tokens. Out comes
what transformers makes of them, as the `tokenizers` library writes it, without truncation, padding
and dropout. A `vocab.txt` alone names the ids of ready tokens, a line each. No file is run as code.
"""

import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import models

from convert import checkpoint
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, strict_json
from jaxneurons.terms import TOKENIZER_FILE

FILE = TOKENIZER_FILE
SETTINGS = "tokenizer_config.json"
_VOCABULARY, _MERGES, _ADDED = "vocab.json", "merges.txt", "added_tokens.json"
_LINES = "vocab.txt"
# All that a tokenizer is read from.
NAMES = (
    _ADDED,
    _MERGES,
    "special_tokens_map.json",
    FILE,
    SETTINGS,
    _VOCABULARY,
    _LINES,
)
# Without one of these there is no tokenizer.
VOCABULARIES = (FILE, _VOCABULARY, _LINES)
_PROBE = "Hello world!"
_REMEDY = "Download its files again, or remove them if all text is ready tokens."


def normalise(directory: pathlib.Path, config: Config) -> bytes | None:
    """Reads the tokenizer of a model.

    Args:
        directory: of the model's files.
        config: of the model.

    Returns:
        The content of its `tokenizer.json`; None if there are no tokenizer files.

    Raises:
        CheckpointError: a file is empty, missing behind a link or a git-lfs pointer.
        TokenizerError: the tokenizer is incomplete, damaged or contradicts itself, has ids without
            an embedding, or adds to a text something other than the model's document start.
        InputOutputError: the operating system refuses.
    """
    present = _present(directory)
    if not present & {FILE, _VOCABULARY, _MERGES}:
        return _names(directory, config) if _LINES in present else None
    if FILE not in present and not present >= {_VOCABULARY, _MERGES}:
        [found] = present & {_VOCABULARY, _MERGES}
        [missing] = {_VOCABULARY, _MERGES} - present
        raise errors.TokenizerError(
            f"{directory} has a {found} but no {missing}, which belongs to it. {_REMEDY}"
        )
    entries, backend = _load(directory, present, config)
    if FILE in present:
        _check_vocabulary(directory, present, backend)
        _check_merges(directory, present, entries["model"])
    _check_ids(directory, backend, config)
    _check_added(directory, present, backend, config)
    return backend.to_str().encode()


def _names(directory: pathlib.Path, config: Config) -> bytes:
    """A tokenizer that knows what each id is called, and turns no text into ids."""
    with files.translated("read", directory / _LINES):
        content = files.read_file(directory / _LINES).decode("utf-8", "replace")
    names = [line.rstrip("\r") for line in content.removesuffix("\n").split("\n")]
    vocabulary = {name: token for token, name in enumerate(names)}
    if len(vocabulary) < len(names):
        repeated = next(n for i, n in enumerate(names) if vocabulary[n] != i)
        raise errors.TokenizerError(
            f"{directory}: {_LINES} has two lines {repeated!r:.80}. Each names another token."
        )
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=names[0]))
    _check_ids(directory, backend, config)
    return backend.to_str().encode()


def settings(content: bytes, config: Config) -> dict[str, Any]:
    """What transformers needs to know beside a `tokenizer.json`, as the content of `SETTINGS`."""
    backend = tokenizers.Tokenizer.from_str(content.decode())
    tokens = {
        "bos_token": config.bos_token_id,
        "eos_token": config.eos_token_id,
        "pad_token": config.pad_token_id,
    }
    named = {
        name: piece
        for name, token in tokens.items()
        if token is not None and (piece := backend.id_to_token(token)) is not None
    }
    return {"tokenizer_class": "PreTrainedTokenizerFast"} | named


def _present(directory: pathlib.Path) -> set[str]:
    """Names of the tokenizer files that there are, each looked at as a file."""
    present = [name for name in NAMES if os.path.lexists(directory / name)]
    problems = [checkpoint.file_problem(directory / name) for name in present]
    if found := [problem for problem in problems if problem]:
        raise errors.CheckpointError(f"{directory}: {checkpoint.listing(found)}")
    return set(present)


def _load(
    directory: pathlib.Path, present: set[str], config: Config
) -> tuple[dict[str, Any], tokenizers.Tokenizer]:
    """The normalised content, and what the `tokenizers` library reads from it.

    Of a tokenizer.json all is kept; without one, transformers knows which steps belong to the
    vocabulary. It sees no file of the directory but those that are present.
    """
    # Without torch, transformers says on import that there are no models.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    # Here, since it takes seconds, and a study of a converted model does without.
    import transformers

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    kind = transformers.PreTrainedTokenizerFast
    if FILE not in present:
        kind = transformers.AutoTokenizer
        # In place of the directory's own config.json; GPT-2 has the same tokenizer.
        options["config"] = transformers.OPTConfig()
    with (
        files.translated("write", "temporary files"),
        tempfile.TemporaryDirectory() as folder,
    ):
        _gather(directory, present, pathlib.Path(folder))
        try:
            loaded = kind.from_pretrained(folder, **options)
            content = loaded.backend_tokenizer.to_str()
            entries = strict_json.parse(content, str(directory), errors.TokenizerError)
            _normalise(entries, config)
            content = strict_json.to_line(entries).decode()
            return entries, tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # Of any type: tokenizers raises bare Exception.
            reason = " ".join(str(error).replace(folder, str(directory)).split())
            raise errors.TokenizerError(
                f"{directory}: transformers cannot load this tokenizer"
                f" ({type(error).__name__}: {reason:.200}). {_REMEDY}"
            ) from error


def _gather(directory: pathlib.Path, present: set[str], folder: pathlib.Path) -> None:
    """Links the files in a folder, and leaves out of the settings what names any others.

    Raises:
        TokenizerError: a file is not valid JSON, or repeats a key.
        InputOutputError: the operating system refuses.
    """
    if FILE in present:
        with files.translated("read", directory / FILE):
            content = files.read_file(directory / FILE)
        strict_json.parse_object(content, str(directory / FILE), errors.TokenizerError)
    for name in present - {SETTINGS}:
        (folder / name).symlink_to((directory / name).absolute())
    if SETTINGS in present:
        said = strict_json.read_object(directory / SETTINGS, errors.TokenizerError)
        kept = {k: v for k, v in said.items() if not k.endswith(("_file", "_files"))}
        (folder / SETTINGS).write_text(json.dumps(kept))


def _normalise(entries: dict[str, Any], config: Config) -> None:
    """Leaves out what shortens, pads or varies a text, and special tokens beyond the embedding.

    transformers adds the special tokens that its classes have by default; no text becomes one.
    """
    entries["truncation"] = entries["padding"] = None
    if "dropout" in entries["model"]:
        entries["model"]["dropout"] = None
    entries["added_tokens"] = [
        token
        for token in entries["added_tokens"]
        if token["id"] < config.vocab_size or not token["special"]
    ]


def _check_vocabulary(
    directory: pathlib.Path, present: set[str], backend: tokenizers.Tokenizer
) -> None:
    """Raises TokenizerError unless tokenizer.json has the ids of vocab.json and added_tokens.json.

    transformers reads tokenizer.json and then looks at vocab.json and merges.txt no more; its
    older tokenizers, written in Python, read these two alone. Where they differ, the ids of a text
    would depend on who reads them.
    """
    if _VOCABULARY not in present:
        return
    slow = strict_json.read_object(directory / _VOCABULARY, errors.TokenizerError)
    if _ADDED in present:
        slow |= strict_json.read_object(directory / _ADDED, errors.TokenizerError)
    fast = backend.get_vocab()
    # What is only added may come from tokenizer_config.json, which both kinds read.
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    compared = slow.keys() | (backend.get_vocab(with_added_tokens=False).keys() - added)
    differing = [token for token in compared if fast.get(token) != slow.get(token)]
    if differing:
        token = min(differing)
        ids = [f"{vocabulary.get(token)!r:.20}" for vocabulary in (fast, slow)]
        raise errors.TokenizerError(
            f"{directory}: {FILE} and {_VOCABULARY} disagree on {len(differing)} tokens, such as"
            f" {token!r:.80}: {ids[0]} and {ids[1]}. Remove the file that is not the model's."
        )


def _check_merges(
    directory: pathlib.Path, present: set[str], model: Mapping[str, Any]
) -> None:
    """Raises TokenizerError unless tokenizer.json has the rules of merges.txt, in their order."""
    if _MERGES not in present:
        return
    with files.translated("read", directory / _MERGES):
        lines = (
            files.read_file(directory / _MERGES).decode("utf-8", "replace").split("\n")
        )
    slow = [line.rstrip("\r") for line in lines if not line.startswith("#version")]
    fast = [" ".join(pair) for pair in model.get("merges", [])]
    pairs = itertools.zip_longest(fast, filter(None, slow))
    for number, (ours, theirs) in enumerate(pairs, start=1):
        if ours != theirs:
            raise errors.TokenizerError(
                f"{directory}: rule {number} is {ours!r:.80} in {FILE} and {theirs!r:.80} in"
                f" {_MERGES}. Remove the file that is not the model's."
            )


def _check_ids(
    directory: pathlib.Path, backend: tokenizers.Tokenizer, config: Config
) -> None:
    pieces = {token: piece for piece, token in backend.get_vocab().items()}
    last = max(pieces, default=0)
    if last >= config.vocab_size:
        raise errors.TokenizerError(
            f"{directory}: token {last} ({pieces[last]!r}) has no embedding: the model's vocab_size"
            f" is {config.vocab_size}. Use the tokenizer that the model was trained with."
        )


def _check_added(
    directory: pathlib.Path,
    present: set[str],
    backend: tokenizers.Tokenizer,
    config: Config,
) -> None:
    """Raises TokenizerError if texts get special tokens other than the start of a document."""
    start = config.document_start_token_id
    text = backend.encode(_PROBE, add_special_tokens=False).ids
    found = backend.encode(_PROBE).ids
    if found not in (text, [start, *text]):
        remedy = (
            f"post_processor to null in {FILE}"
            if FILE in present
            else f"add_bos_token and add_eos_token to false in {SETTINGS}"
        )
        raise errors.TokenizerError(
            f"{directory}: the tokenizer turns {_PROBE!r} into {found}; this model needs {text},"
            f" alone{'' if start is None else f' or after token {start}'}. Set {remedy}."
        )
