"""The user's Matplotlib settings decide nothing: the same bytes under hostile ones."""

import os
import subprocess
import sys

from tests.support import helpers

# Prints a digest of every file, and whether the user's own settings are as they were.
PROGRAM = """
import hashlib, pathlib, sys
from jaxneurons.analysis import drawing
from jaxneurons.figures import plots, style, training
from tests.support import summaries
folder = pathlib.Path(sys.argv[1])
studies = {"$\\\\frac{1$ 文": summaries.summary("125m"), "_b^2": summaries.summary("350m")}
wanted = [plots.by_number()[number][0] for number in ("1a", "5")]
drawing.save(studies, folder, wanted)
run = {"losses": [{"step": 0, "loss": 2.0, "validation_loss": 3.0}], "baselines": {"$x$": 2.5}}
curves = training.loss_curves({"a_$1$": run})
(folder / "loss.png").write_bytes(style.render(curves, "png"))
for path in sorted(folder.iterdir()):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
import matplotlib
print("user", matplotlib.rcParams["lines.linewidth"], file=sys.stderr)
assert "matplotlib.pyplot" not in sys.modules
"""
HOSTILE = """
text.usetex: True
text.parse_math: True
text.hinting: none
font.family: serif
font.size: 20
axes.prop_cycle: cycler("color", ["ff0000"])
axes.formatter.use_locale: True
axes.formatter.use_mathtext: True
axes.grid: False
axes.titlelocation: left
lines.linewidth: 7
legend.frameon: True
path.sketch: 10, 20, 30
figure.autolayout: True
figure.facecolor: black
savefig.bbox: tight
savefig.dpi: 30
savefig.facecolor: red
savefig.format: pdf
savefig.transparent: True
svg.fonttype: path
svg.hashsalt: another
svg.id: another
"""


def drawn(folder, **environment):
    folder.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MPL", "MATPL"))}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, folder / "figures"],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(helpers.REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_hostile_settings_change_no_byte(tmp_path):
    plain = drawn(tmp_path / "plain")
    assert plain.returncode == 0, plain.stderr
    assert len(plain.stdout.splitlines()) == 7
    # As a notebook sets it for all it starts; Matplotlib refuses it where it is not installed.
    backend = "module://no_such.backend"
    settings = tmp_path / "matplotlibrc"
    settings.write_text(HOSTILE)
    run = drawn(tmp_path / "run", MATPLOTLIBRC=str(settings), MPLBACKEND=backend)
    assert run.returncode == 0, run.stderr
    assert run.stdout == plain.stdout
    # They hold for the user's own figures.
    assert "user 7.0" in run.stderr


def test_settings_that_matplotlib_cannot_read_are_named(tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_bytes(b"\xff\xfe")
    run = drawn(tmp_path / "run", MATPLOTLIBRC=str(settings))
    assert "UsageError: Matplotlib cannot be imported" in run.stderr
