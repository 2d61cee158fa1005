"""What every room shares: errors, files, arrays, arithmetic, the golden oracle, results."""
