"""What an audit measures beyond its core, where it is asked for by name."""
