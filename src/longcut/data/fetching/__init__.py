"""Public data sets, from their own addresses into folders."""
