"""What a model loses without some of its neurons, beside as many others drawn at random."""
