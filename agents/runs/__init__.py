"""Whole runs: their settings, phases, measurements, files and reports."""
