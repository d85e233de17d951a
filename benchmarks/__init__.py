"""Benchmarks: scenarios as data, a run that writes JSON, and a report that only reads it."""
