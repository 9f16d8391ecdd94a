"""The flags that say which text is read, the same for every command that reads some; out: a source per domain."""

from typing import NamedTuple

from absl import flags

from jaxneurons import errors
from jaxneurons.command import named_paths
from jaxneurons.text import corpora, sources

# A flag belongs to the module that calls `define`, and its help lists it.
flags.disclaim_key_flags()


class TextFlags(NamedTuple):
    """The flags, which `define` makes."""

    corpus: flags.FlagHolder
    corpora: flags.FlagHolder
    text_key: flags.FlagHolder
    suffix: flags.FlagHolder

    def sources(self) -> list[tuple[str, sources.Source]]:
        """Name and source of each domain; none where no flag names one.

        Raises:
            UsageError: a flag's value means nothing, or two domains have one name.
            CorpusError: a path does not exist.
        """
        given = named_paths.sources(self.corpus.value)
        if not given and (self.text_key.present or self.suffix.present):
            raise errors.UsageError("--text_key and --suffix need --corpus.")
        found = [
            (name, sources.make_source(path, self.text_key.value, self.suffix.value))
            for name, path in given
        ]
        for path in self.corpora.value:
            found += corpora.read(path)
        names = [name for name, _ in found]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise errors.UsageError(
                f"there are two domains of the name {min(repeated)!r}. Rename one."
            )
        return found


def define(default: str) -> TextFlags:
    """Text by domain; `default` says what there is without the flags."""
    return TextFlags(
        flags.DEFINE_multi_string(
            "corpus",
            [],
            "Name and place of a domain's text, as NAME=PATH. The path is a .txt file; a file of records that have "
            "`text` or `tokens`: .jsonl, .json, .csv, .tsv or .parquet; any of them but the last as .gz or .zst; or "
            "a directory of such files. It may also be a dataset on the Hugging Face hub, as hf://OWNER/NAME?split="
            f"train, which is read as it comes. .zst, .parquet and hf:// take the extra `text`. {default}",
        ),
        flags.DEFINE_multi_string(
            "corpora",
            [],
            "JSON file that lists domains with name, path and, if wanted, key, where and suffix: "
            "{'domains': [{'name': 'wikipedia', 'path': 'pile.jsonl.zst', 'where': {'meta.pile_set_name': "
            "'Wikipedia (en)'}}]} in double quotes. jaxneurons/text/paper_corpora.json lists those of the paper.",
        ),
        flags.DEFINE_string(
            "text_key",
            None,
            "Field of a record that holds the text, for each --corpus; inner fields are joined by dots, as in "
            "meta.text. Default: `text`, or `tokens` for ready tokens.",
        ),
        flags.DEFINE_list(
            "suffix",
            [],
            "Endings of the files that are read in a directory of --corpus, such as .py,.md; a source file is one "
            "document. Default: those of the formats that --corpus names.",
        ),
    )
