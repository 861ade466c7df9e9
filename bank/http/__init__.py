"""What all that speaks HTTP shares: who asks, what is too much, what a refusal looks like."""
