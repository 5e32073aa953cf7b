//! Sockets for data connections: passive ports, one leg, the relay.
