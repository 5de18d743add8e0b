"""Where the Flower apps run: in this process."""
