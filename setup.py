"""Read settings.ini, the one source of metadata and requirements."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    url=cfg["git_url"],
    keywords=cfg["keywords"].split(),
    packages=find_packages(include=["deeplearn", "deeplearn.*"]),
    python_requires=f">={cfg['min_python']},<3.{int(cfg['max_python'].split('.')[1]) + 1}",
    install_requires=cfg["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): value.split()
                    for key, value in cfg.items() if key.endswith("_requirements")},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
)
