"""An audit's page."""
