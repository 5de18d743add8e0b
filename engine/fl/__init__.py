"""Federated learning, the part to read first: clients, cohorts, local training, evaluation."""
