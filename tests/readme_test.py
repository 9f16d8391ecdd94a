"""The pages: README's examples run as they stand, commands and links exist, and no line is long."""

import dataclasses
import re
import tomllib

import pytest

from jaxneurons.stats import domains, position_types, suppression, thresholds
from tests.support import cases, helpers, studies

README = helpers.REPOSITORY / "README.md"
PAGES = [
    README,
    helpers.REPOSITORY / "BUILD.md",
    *sorted((helpers.REPOSITORY / "jaxneurons").rglob("README.md")),
]


def code_blocks(language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What README's Python examples define, run in order in a new directory."""
    folder = tmp_path_factory.mktemp("readme")
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("JAXNEURONS_CACHE", str(folder / "cache"))
        patch.setenv("MPLBACKEND", "agg")
        with studies.undrawn():
            for code in code_blocks("python"):
                exec(compile(code, str(README), "exec"), names)  # noqa: S102 (our own README)
    return names | {"folder": folder}


@pytest.mark.campaign
def test_a_study_is_made_and_read(names):
    assert len(names["neurons"]) == 4 * 1024
    assert names["dead_share"].between(0, 1).all() and len(names["dead_share"]) == 4
    assert names["counts"].sum() > 0


@pytest.mark.campaign
def test_the_model_runs_with_real_weights_and_is_differentiable(names):
    config = names["model"].config
    assert names["logits"].shape == (8, 64, config.vocab_size)
    assert names["activation"].shape == (8, 64, config.ffn_dim)
    # Next tokens are guessed better than by chance.
    tokens, guesses = names["text"].tokens[:8], names["logits"].argmax(-1)
    assert (guesses[:, :-1] == tokens[:, 1:]).mean() > 0.1
    assert abs(names["saliency"]).max() > 0


@pytest.mark.campaign
def test_a_statistic_of_ones_own_is_counted(names):
    firing = names["result"].arrays["activation_count"].sum("domain")
    together = names["found"]["together"]
    assert (together == together.T).all()
    assert (together.diagonal() == firing.sel(layer=names["layer"])).all()


@pytest.mark.campaign
def test_the_page_of_a_study_lists_its_arrays_and_files(names):
    page = (README.parent / "jaxneurons" / "studies" / "README.md").read_text()
    named = set(re.findall(r"`(\w+(?:\{n\}\w+)?)`", page))
    named |= {f"candidate_{{n}}{suffix}" for suffix in re.findall("`(_[a-z]+)`", page)}
    arrays = names["result"].arrays
    assert {re.sub(r"_\d_", "_{n}_", name) for name in arrays} <= named
    for file in (names["folder"] / "studies" / "demo").iterdir():
        assert f"`{file.name}" in page


def test_the_citation_names_the_version():
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    [cited] = re.findall(r"version=\{(.+?)\}", README.read_text())
    assert cited == project["version"]


def test_first_commands_are_one_line_each():
    study, tests = code_blocks("sh")[:2]
    assert study.count("\n") == tests.count("\n") == 1
    assert "scripts/study.py" in study
    assert "pytest" in tests


def test_commands_name_scripts_and_flags_that_exist(tmp_path):
    used = {}
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for script, arguments in re.findall(
            r"python scripts/(\w+)\.py([^\n`|]*)", text
        ):
            used.setdefault(script, set()).update(re.findall(r" --(\w+)", arguments))
    assert {"study", "analyze", "figures", "train", "benchmark"} <= used.keys()
    for script, flags in used.items():
        help_text = helpers.run_script(tmp_path, script, "--help").stdout
        known = set(re.findall(r"--(?:\[no\])?(\w+)", help_text))
        assert {f for f in flags if not {f, f.removeprefix("no")} & known} == set()


@cases.each("page", PAGES)
def test_links_lead_to_files_and_lines_are_not_long(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    first_commands = code_blocks("sh")[:2]
    long = [line for line in text.splitlines() if len(line) > 120]
    assert [line for line in long if f"{line}\n" not in first_commands] == []


def test_the_layout_lists_every_folder():
    build = (README.parent / "BUILD.md").read_text()
    code = {path.parent for path in (README.parent / "jaxneurons").glob("*/*.py")}
    for name in {folder.name for folder in code} | {"convert", "scripts", "tests"}:
        assert f"`{name}/`" in build


def test_every_threshold_is_defined_with_its_default():
    page = (README.parent / "jaxneurons" / "stats" / "README.md").read_text()
    for kind in (
        thresholds.Criteria,
        position_types.PositionCriteria,
        suppression.Settings,
        domains.Criteria,
    ):
        for field in dataclasses.fields(kind):
            assert f"`--{field.name}={float(field.default):g}`" in page
