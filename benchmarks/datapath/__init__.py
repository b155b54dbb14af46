"""The data path: CPU per request and added latency, against a pair of bare proxies with the same TLS."""
