"""How well cues tell the class by themselves."""
