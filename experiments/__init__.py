"""Experiments and benchmarks on adamlab's public door; run from a checkout, not installed."""
