"""Reports as one HTML file: a run or a sweep, its tables and figures, with nothing to load from anywhere."""
