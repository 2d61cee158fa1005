"""The N:M tensor-core unit: structured sparsity with metadata. N is the number kept in each group of M, everywhere."""
