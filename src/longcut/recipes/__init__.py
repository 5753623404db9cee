"""Procedures over many files and phases: train a run, evaluate it, sweep, demonstrate."""
