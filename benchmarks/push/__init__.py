"""The control plane: what one change costs with many proxies, and how soon they are back after its death."""
