"""Benchmarks: each prints a table of ratios taken side by side and keeps the figures as JSON."""
