"""The federated engine: data, model, strategies, Flower apps, worker, command line."""
