"""The machine and the process that everything runs in: memory, cores, files, network, seeds."""
