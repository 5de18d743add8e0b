"""The federation as Flower runs it: ServerApp, ClientApp and the runtimes that connect them."""
