"""The paper's figures: parts of summary.json in, Matplotlib figures and their files out.

Matplotlib refuses to be imported where MPLBACKEND names a backend that is not installed, as a
notebook's is for the scripts that it starts. Figures here need none, so it is imported without.
"""

import contextlib
import os
import sys

from jaxneurons import errors

if "matplotlib" not in sys.modules:
    _backend = os.environ.pop("MPLBACKEND", "")
    try:
        import matplotlib
    except ValueError as error:
        raise errors.UsageError(
            f"Matplotlib cannot be imported: {error}. Mend or remove your matplotlibrc file."
        ) from error
    except OSError as error:
        raise errors.InputOutputError(
            f"Matplotlib cannot be imported: {error}. Set MPLCONFIGDIR to a directory that can be written."
        ) from error
    finally:
        if _backend:
            os.environ["MPLBACKEND"] = _backend
    # For the user's own figures, as Matplotlib would have done it.
    if _backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = _backend
