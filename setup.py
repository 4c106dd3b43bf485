"""The packages of the wheel: those of s5lib, as they are found, and the stored runs, which live with the book."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["s5lib*"]), "s5lib.results"], package_dir={"s5lib.results": "book/results"})
