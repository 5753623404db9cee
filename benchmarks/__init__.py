"""Speed, each figure as a ratio of two things measured in one run."""
