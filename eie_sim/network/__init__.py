"""Networks as graphs of operators: readers, and how they become products that a unit multiplies."""
