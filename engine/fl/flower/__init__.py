"""The federation as Flower runs it: ServerApp, ClientApp, and the recorder of their messages."""
