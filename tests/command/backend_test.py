"""What JAX is asked for before it starts, where the environment does not say."""

from jaxneurons.command import backend
from tests.support import cases

SHARE, NEW_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION"
PINNED = "XLA_PJRT_GPU_HOST_MEMORY_LIMIT_GB"


@cases.each(
    "given, share, pinned",
    [
        ({}, backend.GPU_SHARE, None),
        ({SHARE: ".5", PINNED: "3"}, ".5", "3"),
        ({NEW_SHARE: ".5"}, None, None),
    ],
)
def test_the_environments_own_choice_stands(monkeypatch, given, share, pinned):
    for name in (SHARE, NEW_SHARE, PINNED):
        # Set first, so that what `find_devices` sets is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    backend.find_devices()
    assert backend.os.environ.get(SHARE) == share
    assert backend.os.environ[PINNED] == pinned or int(backend.os.environ[PINNED]) > 0
