"""Cues that tell the class by themselves: read, measured, written down."""
