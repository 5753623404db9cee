"""Builders: folders in, folders out."""
