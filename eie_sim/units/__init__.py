"""The accelerators, a folder each, and the channel their reference engines share."""
