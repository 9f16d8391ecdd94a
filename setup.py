"""What pyproject.toml cannot say: scripts/ is a package of jaxneurons, and README's links end at its own page."""

import pathlib
import re

import setuptools

README = pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8")
# Files of the checkout, which a package index does not show.
RELATIVE = r"\((?!https?://|#)[^)]*\)"

setuptools.setup(
    packages=[
        *setuptools.find_packages(include=["jaxneurons*", "convert*"]),
        "jaxneurons.scripts",
    ],
    package_dir={"jaxneurons.scripts": "scripts"},
    long_description=re.sub(
        rf"\[([^]]*)\]{RELATIVE}", r"\1", re.sub(rf"!\[[^]]*\]{RELATIVE}", "", README)
    ),
    long_description_content_type="text/markdown",
)
