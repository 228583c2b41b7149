"""The control socket: its protocol, the server side of one connection, and a small client."""
