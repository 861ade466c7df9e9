"""What ought to happen: prices, meters, holds. Pure: no clock, no input or output."""
