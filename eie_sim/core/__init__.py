"""The ground that all packages share: errors, files, arrays, arithmetic, the golden oracle, results."""
