"""Index cards: their lines and letters, and that each fills one window, of training and of a study."""

import gzip
import json

import numpy as np
import pytest

import jaxneurons
from jaxneurons import demo
from jaxneurons.demo import card
from jaxneurons.training import data
from tests.support.helpers import run_script

TEXT = "Twelve words\n\tof a text,  some of which are much longer than others. " * 20


def test_a_card_has_a_heading_and_three_lines_of_one_width():
    cards = [*card.cut("poems", TEXT, 255)]
    assert [made[:7] for made in cards] == [f"poems {n}" for n in range(1, 8)]
    for made in cards:
        rows = made.split("\n")
        assert [len(row) for row in rows] == [63] * 4
    bodies = (made.split("\n")[1:] for made in cards)
    read = " ".join(row.strip() for body in bodies for row in body)
    assert " ".join(TEXT.split()).startswith(read) and len(read) > 1200
    assert [*card.cut("poems", TEXT, 254)] == [made[:254] for made in cards]


def test_letters_outside_ascii_count_as_their_bytes():
    text = "größere Wörter, длинные слова " * 20
    for made in card.cut("стихи", text, 255):
        assert [len(row.encode()) for row in made.split("\n")] == [63] * 4
    # The first word takes two lines, and the break is within a letter.
    long = "a" + "ö" * 40 + " " + text
    assert next(card.cut("poems", long, 255)).startswith("poems 2")
    assert [*card.cut("poems", "short", 255)] == []
    assert next(card.cut("длинное название" * 9, text, 255)).split("\n")[0].split() == [
        "длинное",
        "назван",
        "1",
    ]


def test_a_card_of_the_default_text_fills_a_window_of_a_study(tmp_path):
    model = jaxneurons.open_model(cache=tmp_path)
    text = jaxneurons.load_text(model, max_tokens=10_240, cache=tmp_path)
    assert text.tokens.shape == (40, 256) and (text.lengths == 256).all()
    ((line_break,),) = model.tokenizer.encode(["\n"])
    assert (text.tokens[:, [64, 128, 192]] == line_break).all()
    mark = model.config.document_start_token_id
    assert (text.tokens[:, [0, 255]] == mark).all()
    assert not (text.tokens[:, 1:255] == mark).any()


def test_cards_of_a_script_fill_windows_of_training(tmp_path):
    path, out = tmp_path / "poems.txt", tmp_path / "cards"
    path.write_text(TEXT)
    flags = [f"--corpus=poems={path}", f"--out={out}", "--most=5"]
    done = run_script(tmp_path, "make_cards", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    lines = gzip.decompress((out / "poems.jsonl.gz").read_bytes()).splitlines()
    assert len(lines) == 5 and json.loads(lines[0])["source"] == "poems.txt:1"
    model = jaxneurons.open_model(demo.DEFAULT, cache=tmp_path)
    sources = [("poems", out / "poems.jsonl.gz")]
    # Held out are two, and the last card of each share lacks the separator that would end its window.
    found = data.load(sources, model.tokenizer, model.config, 0.4, 1, None)
    assert (len(found.training), len(found.validation)) == (2, 1)
    windows = np.concatenate([found.training, found.validation])
    mark = model.config.document_start_token_id
    assert (windows[:, [0, 256]] == mark).all()
    assert not (windows[:, 1:256] == mark).any()


@pytest.mark.parametrize(
    "text, message",
    [("short", "the text of poems fills no card"), ('{"tokens": [1]}', "holds tokens")],
)
def test_what_makes_no_card_is_said_and_nothing_written(tmp_path, text, message):
    path, out = tmp_path / "poems.jsonl", tmp_path / "cards"
    path.write_text(text if text[0] == "{" else json.dumps({"text": text}))
    (tmp_path / "good.txt").write_text(TEXT)
    flags = [f"--corpus=good={tmp_path / 'good.txt'}", f"--corpus=poems={path}"]
    done = run_script(tmp_path, "make_cards", *flags, f"--out={out}")
    assert done.returncode == 65 and message in done.stderr
    assert done.stderr.count("\n") == 1 and not out.exists()
