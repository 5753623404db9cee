"""A trained classifier handed over to other libraries: `export.export_run`, and one module for each target."""
