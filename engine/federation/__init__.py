"""The clients' data, of the embedded world or brought by people, and how clients differ."""
