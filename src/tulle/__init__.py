"""Tulle, the lightest net: a service mesh that a person starts with one command."""
