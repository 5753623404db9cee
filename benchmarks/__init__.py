"""Speed: ratios of two ways timed in turns, and seconds where the bar is a time."""
