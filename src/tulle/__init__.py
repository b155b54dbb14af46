"""Tulle, the lightest net: a service mesh that a person starts with one command."""

from importlib.metadata import version

__version__ = version("tulle")
