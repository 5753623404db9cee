"""Audits set against each other, in text and as a page."""
